"""Classify the windows of long videos.

Legend: R views, W windows, V views of a window, K classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import tee
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stvit_video.datasets.batches import Batch
from stvit_video.datasets.windows import Chunk, WindowedVideo
from stvit_video.errors import VideoDecodeError
from stvit_video.evaluation.forward import Answer, run_batches
from stvit_video.evaluation.timeline import Timeline, describe_windows
from stvit_video.evaluation.views import combine_views
from stvit_video.evaluation.windows import WindowReading
from stvit_video.models.network.video_model import VideoModel

OnProgress = Callable[[int, int], object]
"""Is told how many windows of a video are done, and how many it has."""


class _Part(NamedTuple):
    """What was found out about a chunk."""

    scores: Tensor
    """(windows of the chunk, K)."""
    decode_seconds: float
    model_seconds: float


class TimelineReader:
    """A model and how it reads windows, for one video after the other."""

    def __init__(
        self,
        model: VideoModel,
        classify: Callable[[Tensor], Tensor],
        reading: WindowReading,
        *,
        top_k: int,
        batch_size: int,
        on_progress: OnProgress | None = None,
    ) -> None:
        """`classify` makes logits (R, K) of clips on the device, `batch_size` of them at a time."""
        self.model = model
        self.classify = classify
        self.reading = reading
        self.top_k = top_k
        self.batch_size = reading.views.views_at_once(batch_size)
        self.on_progress = on_progress

    def read_files(
        self,
        videos: Iterable[str | Path],
        on_error: Callable[[VideoDecodeError], object] | None = None,
    ) -> Iterator[Timeline]:
        """Classify the windows of files, in order.

        Raises:
            VideoDecodeError: a file cannot be read, and there is no `on_error` to tell.
        """
        planned, ahead = tee(self.reading.plan(videos))
        num_chunks = None
        if isinstance(videos, Sized) and len(videos) == 1:
            planned, ahead, counted = tee(ahead, 3)
            num_chunks = sum(1 for _ in counted)
        answers = self._answers(self.reading.batches(ahead, num_chunks=num_chunks))
        parts: list[_Part] = []
        error: VideoDecodeError | None = None
        for name, video, chunk in planned:
            if isinstance(video, VideoDecodeError):
                error = video
            else:
                assert chunk is not None
                found = self._part(next(answers), chunk, video)
                if isinstance(found, VideoDecodeError):
                    error = error or found
                else:
                    parts.append(found)
                if chunk.windows.stop < len(video.windows):
                    continue
                if error is None:
                    yield self._describe(name, video, parts)
            if error is not None and on_error is None:
                raise error
            if error is not None and on_error is not None:
                on_error(error)
            parts, error = [], None

    def read_frames(self, frames: Tensor, *, fps: float) -> Timeline:
        """Classify the windows of a video in memory: uint8 (N, H, W, C)."""
        video = self.reading.plan_frames(len(frames), fps=fps)
        answers = self._answers(self.reading.frame_batches(frames, video))
        parts = []
        for chunk, answer in zip(self.reading.chunks(video), answers, strict=True):
            found = self._part(answer, chunk, video)
            assert isinstance(found, _Part)
            parts.append(found)
        return self._describe("frames", video, parts)

    def _answers(self, batches: Iterable[Batch]) -> Iterator[Answer[Batch]]:
        return run_batches(
            self.classify, batches, device=self.reading.device, batch_size=self.batch_size
        )

    def _part(
        self, answer: Answer[Batch], chunk: Chunk, video: WindowedVideo
    ) -> _Part | VideoDecodeError:
        if answer.batch.failures:
            return answer.batch.failures[0].error
        logits = answer.logits.unflatten(0, (len(chunk.windows), -1))  # (W, V, K)
        scores = combine_views(
            logits, self.reading.views.combine, multi_label=self.model.multi_label
        )
        if self.on_progress is not None:
            self.on_progress(chunk.windows.stop, len(video.windows))
        return _Part(scores, answer.batch.facts[0].read_seconds, answer.seconds)

    def _describe(self, name: str, video: WindowedVideo, parts: list[_Part]) -> Timeline:
        scores = torch.cat([part.scores for part in parts])  # (W, K)
        counts = self.model.token_counts()
        window, stride = video.length
        assert window is not None
        assert stride is not None
        return Timeline(
            video=name,
            model=self.model.name,
            duration_seconds=video.duration_seconds,
            fps=video.fps,
            num_frames=video.num_frames,
            views=self.reading.views,
            window_seconds=window,
            stride_seconds=stride,
            windows=describe_windows(video.windows, scores, self.model.labels, top_k=self.top_k),
            scores=scores,
            num_patch_tokens=counts["input"] or 0,
            num_semantic_tokens=counts["semantic"],
            decode_milliseconds=1000 * sum(part.decode_seconds for part in parts),
            model_milliseconds=1000 * sum(part.model_seconds for part in parts),
        )
