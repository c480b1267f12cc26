"""Long videos, read window by window: neighbouring windows share the frames that both show.

The frames of a video are cut into chunks, which workers decode, each in one pass and a few pictures
at a time; a chunk holds every frame once, and says which of them each clip of its windows reads.

Legend: W windows, V clips of a window, T frames of a clip, U different frames of a chunk, C
colours, S height and width of a clip.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from stvit_video.datasets.clips import FailedVideo, Item, Sample, VideoFacts
from stvit_video.datasets.records import UNKNOWN_LABEL
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.decoder import Decoder
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.indexing import known_index
from stvit_video.video.decoding.open import open_video
from stvit_video.video.pixels.planes import ClipPlanes, PlaneTransform, join_planes
from stvit_video.video.pixels.transform import ClipTransform
from stvit_video.video.sampling.scheme import SamplingScheme
from stvit_video.video.sampling.time_windows import TimeWindow, frames_within, spread_windows

_MOST_FRAMES = 128
"""Of a chunk: 19 MB of 224 x 224 pixels."""
_AT_ONCE = 4
"""Whole pictures in memory: 11 MB of 1280 x 720 pixels, and four times that to resize them."""


class WindowLength(NamedTuple):
    """How long windows are and how far apart they begin, in seconds; None for the usual."""

    window: float | None = None
    """By default what one clip of the model covers."""
    stride: float | None = None
    """By default the window: one begins where the one before it ends."""

    def resolve(self, sample: SamplingScheme, *, fps: float) -> "WindowLength":
        """Return both in seconds, for a video of `fps`.

        Raises:
            ConfigError: clips of the model are spread over any length, and none is given.
        """
        window = self.window or sample.span_seconds(fps)
        if window is None:
            raise ConfigError(
                f"window must be given, such as 2s: clips of this model (sampling {sample.kind})"
                " have no length of their own"
            )
        return WindowLength(window, self.stride or window)


@dataclass(frozen=True, kw_only=True)
class WindowedVideo:
    """A video and the frames that its windows read."""

    num_frames: int
    fps: float
    duration_seconds: float
    length: WindowLength
    windows: tuple[TimeWindow, ...]
    frames: Tensor
    """int64 (W, V, T)."""
    packets: bytes | None = None
    """What is known of its packets, packed."""
    entries: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """Frames at which decoding may start, ascending."""


class ChunkKey(NamedTuple):
    """What a worker is asked for."""

    item: int
    """Place of the chunk among all."""
    path: Path
    frames: NDArray[np.int64]
    """(U,): ascending, different."""
    packets: bytes | None
    """What is known of its packets, see `WindowedVideo`."""


def plan_windows(
    path: Path,
    sample: SamplingScheme,
    length: WindowLength,
    *,
    backend: str = "auto",
    max_pixels: int = MOST_PIXELS,
) -> WindowedVideo:
    """Open a video and choose the frames of its windows.

    Raises:
        VideoDecodeError: it cannot be read.
        ConfigError: see `WindowLength.resolve`.
    """
    with open_video(path, backend=backend, max_pixels=max_pixels) as decoder:
        info, times = decoder.info, decoder.times()
    video = lay_windows(times, info.duration_seconds, sample, length, fps=info.fps)
    index = known_index(path)
    if index is None or index.is_sequential:
        return video
    table = index.table
    entries = np.searchsorted(table.pts, np.sort(table.times[table.entries]))
    return replace(video, packets=index.to_bytes(), entries=np.append(0, entries))


def lay_windows(
    times: NDArray[np.float64],
    duration_seconds: float,
    sample: SamplingScheme,
    length: WindowLength,
    *,
    fps: float,
) -> WindowedVideo:
    """Choose the frames of the windows of a video, as if each were a video of its own.

    `times` are the seconds (N,) of its frames.

    Raises:
        ConfigError: see `WindowLength.resolve`.
    """
    length = length.resolve(sample, fps=fps)
    assert length.window is not None
    assert length.stride is not None
    windows = tuple(spread_windows(duration_seconds, window=length.window, stride=length.stride))
    stretches = [frames_within(times, window) for window in windows]
    frames = [own.start + sample(len(own), fps=fps) for own in stretches]
    return WindowedVideo(
        num_frames=len(times),
        fps=fps,
        duration_seconds=duration_seconds,
        length=length,
        windows=windows,
        frames=torch.stack(frames),
    )


class Chunk(NamedTuple):
    """Some neighbouring windows of a video, and the frames that they need."""

    windows: range
    frames: NDArray[np.int64]
    """(U,): ascending, different."""
    rows: Tensor
    """int64 (windows of the chunk, V, T): which of the frames each clip reads."""


def chunks_of(video: WindowedVideo, *, most_clips: int) -> Iterator[Chunk]:
    """Cut a video into chunks of at most `most_clips` clips, and of so many frames as are kept.

    A chunk begins near a frame at which decoding may start: what lies between is decoded for
    nothing.
    """
    num_windows, num_clips, _ = video.frames.shape
    first_frames = video.frames.flatten(1).amin(1).numpy()  # (W,)
    before = video.entries[np.searchsorted(video.entries, first_frames, side="right") - 1]
    lead = first_frames - before  # (W,): frames that are decoded to come there
    start = 0
    while start < num_windows:
        stop = min(start + max(most_clips // num_clips, 1), num_windows)
        stop = _fitting(video.frames, start, stop)
        if stop < num_windows:
            ends = range(stop, start + (stop - start) // 2, -1)
            shares = [int(lead[end]) / (end - start) for end in ends]
            stop = ends[shares.index(min(shares))]
        frames, rows = video.frames[start:stop].unique(return_inverse=True)
        yield Chunk(range(start, stop), frames.numpy(), rows)
        start = stop


def _fitting(frames: Tensor, start: int, stop: int) -> int:
    """Return up to which window, at most `stop`, a chunk holds few enough frames; one at least."""
    seen: set[int] = set()
    for number in range(start, stop):
        seen.update(frames[number].flatten().tolist())
        if len(seen) > _MOST_FRAMES and number > start:
            return number
    return stop


class ChunkReader(Dataset[Item]):
    """Serves the frames of a chunk, one `Sample` for each crop: (C, U, S, S).

    A chunk that cannot be read is a `FailedVideo`.
    """

    def __init__(
        self,
        *,
        transform: ClipTransform,
        num_crops: int = 1,
        backend: str = "auto",
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        self.transform = transform
        self.num_crops = num_crops
        self.backend = backend
        self.max_pixels = max_pixels

    def __getitem__(self, key: ChunkKey) -> Item:
        try:
            return self._read(key)
        except VideoDecodeError as error:
            return FailedVideo(key.item, error)

    def _read(self, key: ChunkKey) -> list[Sample]:
        start = time.perf_counter()
        index = known_index(key.path)
        if index is None and key.packets is not None:
            index = VideoIndex.from_bytes(key.packets, key.path)
        opened = open_video(key.path, backend=self.backend, index=index, max_pixels=self.max_pixels)
        with opened as decoder:
            info = decoder.info
            clips = self._cut(decoder, key.frames.tolist())
        seconds = time.perf_counter() - start
        facts = VideoFacts(info.num_frames, info.fps, info.duration_seconds, seconds)
        return [Sample(clip, UNKNOWN_LABEL, key.item, i, facts) for i, clip in enumerate(clips)]

    def _cut(self, decoder: Decoder, frames: list[int]) -> list[Tensor | ClipPlanes]:
        """Decode the frames and cut each crop of them."""
        transform, info = self.transform, decoder.info
        ships = isinstance(transform, PlaneTransform) and transform.takes(info.height, info.width)
        made = _Growing(self.num_crops, len(frames))
        planes: list[list[ClipPlanes]] = [[] for _ in range(self.num_crops)]
        for part in decoder.parts(frames, _AT_ONCE, as_planes=ships):
            for crop_index in range(self.num_crops):
                if isinstance(part, Tensor):
                    made.add(transform(part, crop_index), crop_index)
                else:
                    assert isinstance(transform, PlaneTransform)
                    cut = transform.cut_planes(part, slice(None), crop_index)
                    planes[crop_index].append(cut)
        return [join_planes(own) for own in planes] if planes[0] else list(made.clips)


class _Growing:
    """Clips (C, U, S, S), one for each crop, in memory that needs no copy to leave a worker."""

    def __init__(self, num_crops: int, num_frames: int) -> None:
        self.clips = torch.empty(0)
        self._shape = (num_crops, num_frames)
        self._ends = [0] * num_crops

    def add(self, part: Tensor, crop_index: int) -> None:
        """Put frames (C, T, S, S) behind those of the crop that are there."""
        if not len(self.clips):
            num_crops, num_frames = self._shape
            self.clips = part.new_empty(num_crops, len(part), num_frames, *part.shape[2:])
            if get_worker_info() is not None:
                self.clips.share_memory_()
        begin, end = self._ends[crop_index], self._ends[crop_index] + part.shape[1]
        self.clips[crop_index, :, begin:end] = part
        self._ends[crop_index] = end
