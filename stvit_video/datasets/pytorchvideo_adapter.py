"""Feed a PyTorchVideo `LabeledVideoDataset` from a manifest, through our decoders.

For code that is built on PyTorchVideo. It keeps PyTorchVideo's ways: clips are chosen in seconds,
and a video that fails is silently replaced by the next one, so scan the files first.

Legend: C colours, T H W frames and pixels.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorchvideo.data import LabeledVideoDataset
from pytorchvideo.data.clip_sampling import ClipSampler
from pytorchvideo.data.video import Video, VideoPathHandler
from torch import Tensor
from torch.utils.data import RandomSampler, Sampler

from stvit_video.datasets.manifest import Manifest
from stvit_video.errors import DatasetError
from stvit_video.video.decoding.open import open_video


def build_labeled_video_dataset(
    manifest: Manifest,
    clip_sampler: ClipSampler,
    *,
    transform: Callable[[dict[str, Any]], Any] | None = None,
    video_sampler: type[Sampler[int]] = RandomSampler,
    backend: str = "auto",
) -> LabeledVideoDataset:
    """Return PyTorchVideo's data set of a manifest; items hold `video`, `label`, `class_name`.

    Raises:
        DatasetError: a video has several labels.
    """
    if manifest.is_multi_label:
        raise DatasetError(
            "PyTorchVideo's data set has one label a video, but the manifest has several; use"
            " build_training_loader"
        )
    paths = [
        (
            str(record.path),
            {"label": record.label, "class_name": manifest.class_names[record.label]},
        )
        for record in manifest.records
    ]
    dataset = LabeledVideoDataset(
        paths,
        clip_sampler,
        video_sampler=video_sampler,
        transform=transform,
        decode_audio=False,
    )
    dataset.video_path_handler = ExactVideoPaths(backend=backend)
    return dataset


class ExactVideoPaths(VideoPathHandler):
    """Opens paths with our decoders in the place of PyTorchVideo's."""

    def __init__(self, *, backend: str = "auto") -> None:
        super().__init__()
        self.backend = backend

    def video_from_path(
        self, filepath: str, decode_audio: bool = False, decoder: str = "", fps: int = 30
    ) -> "ExactVideo":
        """Open a video file; the other arguments are PyTorchVideo's and play no part."""
        return ExactVideo(Path(filepath), backend=self.backend)


class ExactVideo(Video):
    """An open file as PyTorchVideo wants it: clips between two times in seconds."""

    def __init__(self, path: Path, *, backend: str = "auto") -> None:
        self.decoder = open_video(path, backend=backend)
        self.info = self.decoder.info

    @property
    def name(self) -> str:
        """File name."""
        return self.info.path.name

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.info.num_frames / self.info.fps

    def get_clip(self, start_sec: float, end_sec: float) -> dict[str, Tensor | None]:
        """Read the frames that begin in [start, end): float32 (C, T, H, W) in 0..255."""
        start = math.ceil(start_sec * self.info.fps)
        end = min(math.ceil(end_sec * self.info.fps), self.info.num_frames)
        if start >= end:
            return {"video": None, "audio": None}
        frames = self.decoder.frames(range(start, end))  # (T, H, W, C)
        return {"video": frames.permute(3, 0, 1, 2).float(), "audio": None}

    def close(self) -> None:
        """Let go of the file."""
        self.decoder.close()
