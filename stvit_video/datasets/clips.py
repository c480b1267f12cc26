"""A list of labelled video files, served as clips.

Legend: V clips of a video, T H W frames and pixels, C colours.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from stvit_video.datasets.records import Records, VideoRecord
from stvit_video.datasets.sampler import ItemKey
from stvit_video.errors import DatasetError, VideoDecodeError
from stvit_video.video.decoding.decoder import Decoder
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


class Sample(NamedTuple):
    """One view of one video."""

    clip: Tensor | ClipPlanes
    """(C, T, H, W), as the transform made it; or the planes of which a device makes that."""
    label: int
    video_index: int
    view_index: int


class FailedVideo(NamedTuple):
    """A video that could not be read, in the place of its views."""

    video_index: int
    error: VideoDecodeError
    """What was wrong, and who met it where."""


Item = Sample | FailedVideo | list[Sample]


class VideoDataset(Dataset[Item]):
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

    def __init__(
        self,
        records: Sequence[VideoRecord],
        *,
        sample: ClipSampler,
        transform: ClipTransform,
        num_clips: int = 1,
        num_crops: int = 1,
        whole_videos: bool = False,
        backend: str = "auto",
        on_decode_error: OnDecodeError = "raise",
    ) -> None:
        if not records:
            raise DatasetError("records is empty: the data set names no videos")
        self.records = records
        self.sample = sample
        self.transform = transform
        self.num_clips = num_clips
        self.num_crops = num_crops
        self.whole_videos = whole_videos
        self.backend = backend
        self.on_decode_error = on_decode_error
        self.indexes = records.indexes if isinstance(records, Records) else None

    @property
    def num_views(self) -> int:
        """Views per video."""
        return self.num_clips * self.num_crops

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
        try:
            with seeded(seed):
                samples = self._read_views(video_index, views)
        except VideoDecodeError as error:
            return FailedVideo(video_index, error)
        return samples if self.whole_videos else samples[0]

    def _read_views(self, video_index: int, views: range) -> list[Sample]:
        record = self.records[video_index]
        clip_indices = sorted({view // self.num_crops for view in views})
        index = self.indexes.find(record.path) if self.indexes else None
        with open_video(record.path, backend=self.backend, index=index) as decoder:
            info = decoder.info
            clips = self.sample(
                info.num_frames,
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
        samples = []
        for view in views:
            clip_index, crop_index = divmod(view, self.num_crops)
            first = clip_indices.index(clip_index) * chosen.shape[1]
            clip = make_clip(slice(first, first + chosen.shape[1]), crop_index)
            samples.append(Sample(clip, record.label, video_index, view))
        return samples

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
