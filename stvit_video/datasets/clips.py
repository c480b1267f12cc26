"""Video files, served as clips: those of a list, or as they are named.

Legend: V clips of a video, T H W frames and pixels, C colours.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from stvit_video.datasets.records import UNKNOWN_LABEL, Records, VideoRecord
from stvit_video.datasets.sampler import FileKey, ItemKey
from stvit_video.errors import DatasetError, VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.decoder import Decoder
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.open import open_video
from stvit_video.video.pixels.planes import ClipPlanes, PlaneTransform
from stvit_video.video.pixels.transform import ClipTransform
from stvit_video.video.seeded import seeded

OnDecodeError = Literal["raise", "report"]


class ClipSampler(Protocol):
    """Chooses the frames of the clips of a video; `SamplingScheme` is the usual one."""

    def __call__(
        self,
        video_length: int,
        *,
        fps: float,
        generator: Generator | None = None,
        start_step: int = 1,
    ) -> Tensor:
        """Frame indices int64 (V, T); random starts at multiples of `start_step` read fastest."""


class VideoFacts(NamedTuple):
    """What a video is, and how long it took to read."""

    num_frames: int
    fps: float
    """0 where it is not known."""
    duration_seconds: float
    """0 where it is not known."""
    read_seconds: float
    """Spent on opening, decoding and cropping; for all views of the video that were asked for."""


class Sample(NamedTuple):
    """One view of one video."""

    clip: Tensor | ClipPlanes
    """(C, T, H, W), as the transform made it; or the planes of which a device makes that."""
    label: int
    video_index: int
    view_index: int
    facts: VideoFacts
    """Of the video."""


class FailedVideo(NamedTuple):
    """A video that could not be read, in the place of its views."""

    video_index: int
    error: VideoDecodeError
    """What was wrong, and who met it where."""


Item = Sample | FailedVideo | list[Sample]


class ViewReader:
    """How a video file is read: which clips, which crops of them, and what decodes it."""

    def __init__(
        self,
        *,
        sample: ClipSampler,
        transform: ClipTransform,
        num_clips: int = 1,
        num_crops: int = 1,
        backend: str = "auto",
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        self.sample = sample
        self.transform = transform
        self.num_clips = num_clips
        self.num_crops = num_crops
        self.backend = backend
        self.max_pixels = max_pixels

    @property
    def num_views(self) -> int:
        """Views per video."""
        return self.num_clips * self.num_crops

    def read_views(
        self,
        record: VideoRecord,
        video_index: int,
        views: range,
        *,
        index: VideoIndex | None = None,
    ) -> list[Sample]:
        """Read views of a video with one open; `index` is what is known of its packets.

        Raises:
            VideoDecodeError: it cannot be read.
        """
        start = time.perf_counter()
        clip_indices = sorted({view // self.num_crops for view in views})
        opened = open_video(
            record.path, backend=self.backend, index=index, max_pixels=self.max_pixels
        )
        with opened as decoder:
            info = decoder.info
            stretch = record.stretch(info.num_frames)
            if not stretch:
                raise VideoDecodeError(
                    record.path,
                    backend=info.backend,
                    stage="sample",
                    reason="no frames",
                    detail=f"frames {record.start_frame} to {record.end_frame} of"
                    f" {info.num_frames} are asked for",
                )
            clips = stretch.start + self.sample(
                len(stretch),
                fps=info.fps,
                generator=torch.default_generator,
                start_step=record.start_step,
            )
            if len(clips) != self.num_clips:
                raise ValueError(
                    f"sampler makes {len(clips)} clips, not num_clips={self.num_clips}"
                )
            chosen = clips[clip_indices]  # (clips of these views, T)
            make_clip = self._clip_maker(decoder, chosen.flatten().tolist())
        clips_of_views = []
        for view in views:
            clip_index, crop_index = divmod(view, self.num_crops)
            first = clip_indices.index(clip_index) * chosen.shape[1]
            clips_of_views.append(make_clip(slice(first, first + chosen.shape[1]), crop_index))
        seconds = time.perf_counter() - start
        facts = VideoFacts(info.num_frames, info.fps, info.duration_seconds, seconds)
        return [
            Sample(clip, record.label, video_index, view, facts)
            for view, clip in zip(views, clips_of_views, strict=True)
        ]

    def _clip_maker(
        self, decoder: Decoder, indices: Sequence[int]
    ) -> Callable[[slice, int], Tensor | ClipPlanes]:
        """Decode the frames; return what makes a clip of some of them and a crop index."""
        transform, info = self.transform, decoder.info
        if isinstance(transform, PlaneTransform) and transform.takes(info.height, info.width):
            planes = decoder.planes(indices)
            if planes is not None:
                return partial(transform.cut_planes, planes)
        frames = decoder.frames(indices)
        return lambda picks, crop_index: transform(frames[picks], crop_index)


class VideoDataset(ViewReader, Dataset[Item]):
    """Serves one view per item: item `i` is view `i % num_views` of video `i // num_views`.

    View `v` is crop `v % num_crops` of clip `v // num_crops`. With `whole_videos` item `i` is the
    list of all views of video `i`: the file is opened once and its frames are decoded once.

    A video that cannot be read is an error or, with `on_decode_error="report"`, a `FailedVideo`;
    never another video in disguise: a silent swap repeats easy files and changes the test set.

    An item may be asked for by its index or by an `ItemKey`. Random choices depend on the seed of
    the key alone (of an index: on the index), whichever process serves it.

    With a `PlaneTransform` a clip stays in the planes that the decoder gives, where it gives them
    and they are not much larger than the clip; the loader finishes the clips on its device.
    """

    def __init__(  # noqa: PLR0913 one front door
        self,
        records: Sequence[VideoRecord],
        *,
        sample: ClipSampler,
        transform: ClipTransform,
        num_clips: int = 1,
        num_crops: int = 1,
        whole_videos: bool = False,
        backend: str = "auto",
        max_pixels: int = MOST_PIXELS,
        on_decode_error: OnDecodeError = "raise",
    ) -> None:
        if not records:
            raise DatasetError("records is empty: the data set names no videos")
        super().__init__(
            sample=sample,
            transform=transform,
            num_clips=num_clips,
            num_crops=num_crops,
            backend=backend,
            max_pixels=max_pixels,
        )
        self.records = records
        self.whole_videos = whole_videos
        self.on_decode_error = on_decode_error
        self.indexes = records.indexes if isinstance(records, Records) else None

    def __len__(self) -> int:
        return len(self.records) * (1 if self.whole_videos else self.num_views)

    def __getitem__(self, key: int | ItemKey) -> Item:
        item = self.read(key)
        if isinstance(item, FailedVideo) and self.on_decode_error == "raise":
            raise item.error
        return item

    def read(self, key: int | ItemKey) -> Item:
        """Serve an item; a video that cannot be read is a `FailedVideo` in every setting."""
        index, seed = key if isinstance(key, tuple) else (key, key)
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} outside 0..{len(self) - 1}")
        if self.whole_videos:
            video_index, views = index, range(self.num_views)
        else:
            video_index, view = divmod(index, self.num_views)
            views = range(view, view + 1)
        record = self.records[video_index]
        try:
            packets = self.indexes.find(record.path) if self.indexes else None
            with seeded(seed):
                samples = self.read_views(record, video_index, views, index=packets)
        except VideoDecodeError as error:
            return FailedVideo(video_index, error)
        return samples if self.whole_videos else samples[0]


class NamedFiles(ViewReader, Dataset[Item]):
    """Serves all views of the file that a key names: no list has to be known, nor an end.

    A video that cannot be read is a `FailedVideo`.
    """

    def __getitem__(self, key: FileKey) -> Item:
        record = VideoRecord(Path(key.path), UNKNOWN_LABEL)
        try:
            return self.read_views(record, key.item, range(self.num_views))
        except VideoDecodeError as error:
            return FailedVideo(key.item, error)
