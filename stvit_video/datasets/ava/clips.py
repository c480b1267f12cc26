"""Key frames as clips: the frames around each, whole, and the boxes of persons in them.

Legend: B clips, C colours, T H W frames and pixels, n boxes of a clip, K classes.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from stvit_video.datasets.ava.annotations import ActionBoxes
from stvit_video.datasets.clips import FailedVideo, VideoFacts
from stvit_video.datasets.sampler import ItemKey
from stvit_video.errors import VideoDecodeError
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.video.decoding.decoder import Decoder
from stvit_video.video.decoding.open import open_video
from stvit_video.video.sampling.indices import clip_around, stride_at_fps
from stvit_video.video.seeded import seeded


@dataclass(frozen=True, kw_only=True)
class ClipSize:
    """How large frames become: the short side is given, the shape kept, nothing is cut off."""

    short_sides: tuple[int, int]
    """Least and most; one is drawn for every clip where they differ."""
    max_size: int
    """Longest that the long side may become."""
    multiple: int
    """Of which both sides are a multiple, the nearest: of the patches of a network."""

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a clip of frames of some height and width."""
        least, most = self.short_sides
        short = int(torch.randint(least, most + 1, ())) if least < most else least
        factor = min(short / min(height, width), self.max_size / max(height, width))
        tall, wide = (
            max(round(side * factor / self.multiple), 1) * self.multiple for side in (height, width)
        )
        return tall, wide


class ActionClip(NamedTuple):
    """A clip around a key frame."""

    clip: Tensor
    """uint8 (C, T, H, W), RGB."""
    boxes: Tensor
    """float32 (n, 4): x1, y1, x2, y2 in pixels of the clip."""
    labels: Tensor
    """float32 (n, K), 1 for each action."""
    frame: int
    """Which key frame."""
    facts: VideoFacts


@dataclass(frozen=True, kw_only=True)
class ClipReading:
    """How clips are read: for training, with a flip, or for tests."""

    preprocessing: Preprocessing
    size: ClipSize
    data: DataConfig
    first_second: float = 0.0
    """Second of the film at which its file begins."""
    flip: float = 0.0
    """Probability of a horizontal flip."""
    mirrored: tuple[int, ...] = ()
    """For each class the one that its mirror image shows; none for itself."""


class ActionClips(Dataset[ActionClip | FailedVideo]):
    """Serves the clip around each key frame that has boxes.

    Item `i` is `FailedVideo` where the film cannot be read, or ends before. Random choices depend
    on the seed of a key alone.
    """

    def __init__(
        self,
        boxes: ActionBoxes,
        paths: dict[str, Path],
        reading: ClipReading,
        *,
        num_classes: int,
    ) -> None:
        self.boxes = boxes
        self.paths = [paths.get(name, Path(name)) for name in boxes.videos]
        self.reading = reading
        self.num_classes = num_classes

    def __len__(self) -> int:
        return len(self.boxes)

    def name(self, item: int) -> str:
        """Say which key frame an item is."""
        video = self.boxes.frame_video[item]
        return f"{self.paths[video]} second {self.boxes.frame_second[item]:g}"

    def __getitem__(self, key: int | ItemKey) -> ActionClip | FailedVideo:
        return self.read(key)

    def read(self, key: int | ItemKey) -> ActionClip | FailedVideo:
        """Serve an item."""
        item, seed = key if isinstance(key, tuple) else (key, key)
        try:
            with seeded(seed):
                return self._read(item)
        except VideoDecodeError as error:
            return FailedVideo(item, error)

    def _read(self, item: int) -> ActionClip:
        start = time.perf_counter()
        path = self.paths[self.boxes.frame_video[item]]
        reading, own = self.reading, self.boxes.boxes_of(item)
        second = float(self.boxes.frame_second[item])
        frames, info = read_around(path, second, reading)
        height, width = reading.size(*frames.shape[1:3])
        clip = F.resize(frames.permute(0, 3, 1, 2), [height, width], antialias=True)
        boxes = torch.from_numpy(self.boxes.boxes[own])
        boxes = boxes * torch.tensor([width, height, width, height], dtype=torch.float32)
        labels = torch.from_numpy(self.boxes.targets(own, num_classes=self.num_classes))
        if reading.flip and float(torch.rand(())) < reading.flip:
            clip, boxes = clip.flip(-1), torch.stack(
                [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1
            )  # fmt: skip
            labels = labels[:, list(reading.mirrored)] if reading.mirrored else labels
        clip = clip.transpose(0, 1).contiguous()  # (C, T, H, W)
        seconds = time.perf_counter() - start
        facts = VideoFacts(info.num_frames, info.fps, info.duration_seconds, seconds)
        return ActionClip(clip, boxes, labels, item, facts)


def read_around(path: Path, second: float, reading: ClipReading) -> tuple[Tensor, VideoFacts]:
    """Read the frames of the clip around a second of a film: uint8 (T, H, W, C).

    Raises:
        VideoDecodeError: the file cannot be read, or does not show that second.
    """
    data = reading.data
    with open_video(path, backend=data.backend, max_pixels=data.max_pixels) as decoder:
        info = decoder.info
        at = second - reading.first_second
        if not 0 <= at <= info.duration_seconds:
            raise VideoDecodeError(
                path,
                backend=info.backend,
                stage="sample",
                reason="truncated",
                detail=f"second {second:g} is asked for, and the file shows"
                f" {reading.first_second:g} to {reading.first_second + info.duration_seconds:g};"
                " detector.first_second says where it begins",
            )
        indices = _indices(decoder, at, reading)
        facts = VideoFacts(info.num_frames, info.fps, info.duration_seconds, 0.0)
        return decoder.frames(indices), facts


def _indices(decoder: Decoder, at: float, reading: ClipReading) -> Tensor:
    """Choose the frames of the clip whose middle is the frame that is shown `at` a second."""
    slack = 1e-6  # seconds: less than any two frames are apart
    times = decoder.times()
    center = max(int(np.searchsorted(times, at + slack, side="right")) - 1, 0)
    shape, target_fps = reading.preprocessing, reading.data.target_fps
    stride = (
        shape.frame_stride
        if target_fps is None
        else stride_at_fps(shape.frame_stride, fps=decoder.info.fps, target_fps=target_fps)
    )
    return clip_around(len(times), center, num_frames=shape.num_frames, frame_stride=stride)
