"""The windows of long videos, from files or frames to batches of clips.

Legend: W windows of a chunk, V clips of a window, T frames of a clip, U different frames of a
chunk, R views, C colours, S height and width of a clip.
"""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stvit_video.datasets.batches import Batch
from stvit_video.datasets.clips import VideoFacts
from stvit_video.datasets.from_settings import (
    build_window_loader,
    evaluation_transform,
    sampling_scheme,
)
from stvit_video.datasets.windows import (
    Chunk,
    ChunkKey,
    WindowedVideo,
    WindowLength,
    chunks_of,
    lay_windows,
    plan_windows,
)
from stvit_video.errors import VideoDecodeError
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig

_LEAST_WINDOWS = 8
"""Of a chunk, in a video that has so many: to open a file for fewer takes longer than it spares."""
_MOST_BYTES = 1 << 27
"""Of the clips of a chunk, side by side: 55 of 16 x 224 x 224."""


class PlannedChunk(NamedTuple):
    """A chunk of a video; or a video that cannot be opened."""

    name: str
    video: WindowedVideo | VideoDecodeError
    chunk: Chunk | None


class WindowReading:
    """How the windows of videos are read."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        data: DataConfig,
        views: ViewConfig,
        length: WindowLength,
        device: torch.device,
    ) -> None:
        self.preprocessing = preprocessing
        self.data = data
        self.views = views
        self.length = length
        self.device = device
        self.sample = sampling_scheme(preprocessing, data, num_clips=views.num_clips)
        clip_bytes = 3 * preprocessing.num_frames * preprocessing.image_size**2
        self.most_clips = max(_MOST_BYTES // (clip_bytes * views.num_crops), 1)

    def plan(self, paths: Iterable[str | Path]) -> Iterator[PlannedChunk]:
        """Open the videos as they come, and cut them into chunks."""
        for path in paths:
            try:
                video = plan_windows(
                    Path(path),
                    self.sample,
                    self.length,
                    backend=self.data.backend,
                    max_pixels=self.data.max_pixels,
                )
            except VideoDecodeError as error:
                yield PlannedChunk(str(path), error, None)
                continue
            for chunk in self.chunks(video):
                yield PlannedChunk(str(path), video, chunk)

    def chunks(self, video: WindowedVideo) -> Iterator[Chunk]:
        """Cut a video into chunks: some for each process that reads, and none without reason."""
        num_windows, num_clips, _ = video.frames.shape
        for_all = math.ceil(num_windows / max(2 * self.data.num_workers, 1))
        most = max(for_all, _LEAST_WINDOWS) * num_clips
        return chunks_of(video, most_clips=min(self.most_clips, most))

    def batches(
        self, planned: Iterable[PlannedChunk], *, num_chunks: int | None = None
    ) -> Iterator[Batch]:
        """Read the chunks that there are: all views of their windows, on the device.

        `video_index` counts the windows of a video. `num_chunks` is how many there are, where that
        is known: one alone is read in this process, and there are no more processes than chunks.
        """
        ahead, following = tee(planned)
        workers = self.data.num_workers
        if num_chunks is not None:
            workers = 0 if num_chunks <= 1 else min(workers, num_chunks)
        loader = build_window_loader(
            _keys(ahead),
            self.preprocessing,
            data=replace(self.data, num_workers=workers),
            views=self.views,
            device=self.device,
        )
        chunks = (plan.chunk for plan in following if plan.chunk is not None)
        for frames, chunk in zip(loader, chunks, strict=False):
            yield _window_batch(frames, chunk)

    def plan_frames(self, num_frames: int, *, fps: float) -> WindowedVideo:
        """Lay the windows over a video in memory."""
        times = np.arange(num_frames) / fps
        return lay_windows(times, num_frames / fps, self.sample, self.length, fps=fps)

    def frame_batches(self, frames: Tensor, video: WindowedVideo) -> Iterator[Batch]:
        """Do with a video in memory, uint8 (N, H, W, C), what `batches` does with files."""
        crops = range(self.views.num_crops)
        transform = evaluation_transform(self.preprocessing, self.views, None)
        for chunk in self.chunks(video):
            start = time.perf_counter()
            clip = torch.stack([transform(frames[chunk.frames], crop) for crop in crops])
            seconds = time.perf_counter() - start
            facts = VideoFacts(video.num_frames, video.fps, video.duration_seconds, seconds)
            crop = torch.arange(len(crops))
            yield _window_batch(Batch(clip, crop, crop, crop, facts=(facts,)), chunk)


def _keys(planned: Iterable[PlannedChunk]) -> Iterator[ChunkKey]:
    item = 0
    for name, video, chunk in planned:
        if chunk is not None:
            assert isinstance(video, WindowedVideo)
            yield ChunkKey(item, Path(name), chunk.frames, video.packets)
            item += 1


def _window_batch(frames: Batch, chunk: Chunk) -> Batch:
    """Put the clips of the windows of a chunk side by side; its frames are (crops, C, U, S, S)."""
    if frames.failures:
        return frames
    rows = chunk.rows.to(frames.clip.device)  # (W, V, T)
    clips = frames.clip[:, :, rows]  # (crops, C, W, V, T, S, S)
    clips = clips.permute(2, 3, 0, 1, 4, 5, 6).flatten(0, 2)  # (R, C, T, S, S)
    num_views = len(clips) // len(rows)
    window = torch.tensor(chunk.windows).repeat_interleave(num_views)
    view = torch.arange(num_views).repeat(len(rows))
    return Batch(clips, torch.full_like(window, -1), window, view, facts=frames.facts[:1])
