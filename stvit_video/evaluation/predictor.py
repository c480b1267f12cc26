"""Classify videos with a model that is loaded once.

Legend: R views, M videos of a batch, T frames, C colours, H W pixels, K classes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.datasets.batches import Batch
from stvit_video.datasets.clips import VideoFacts
from stvit_video.datasets.from_settings import build_prediction_loader, sampling_scheme
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.evaluation.forward import Answer, run_batches
from stvit_video.evaluation.prediction import VideoPrediction, rank_labels
from stvit_video.evaluation.trained_settings import trained_settings
from stvit_video.evaluation.views import ViewCollector, classify_views, combine_views
from stvit_video.models.checkpoint import load_model
from stvit_video.models.device import choose_device
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.data import Backend, DataConfig
from stvit_video.settings.timing import DtypeName
from stvit_video.settings.views import Combine, ViewConfig
from stvit_video.video.pixels.crops import build_transform, check_frames, normalize_clip

Frames = NDArray[np.uint8] | Tensor
"""All frames of a video, uint8 (T, H, W, C), RGB."""


class Predictor:
    """A model on its device, and how it reads videos."""

    def __init__(
        self,
        model: VideoModel,
        *,
        data: DataConfig | None = None,
        views: ViewConfig | None = None,
        device: str = "auto",
        dtype: DtypeName = "float32",
        compile: bool = False,
    ) -> None:
        """Put `model` on its device, in eval mode; `load` reads one from a folder.

        `dtype` is that of weights and clips, `compile` runs `torch.compile`.
        """
        self.device = choose_device(device)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.model = model.eval().to(self.device, self.dtype)
        self.data = data or DataConfig(sampling=model.preprocessing.sampling)
        self.views = views or ViewConfig()
        self._run: Callable[..., Tensor] = (
            torch.compile(classify_views) if compile else classify_views
        )

    @classmethod
    def load(  # noqa: PLR0913 one front door
        cls,
        checkpoint: str | Path,
        *,
        num_clips: int | None = None,
        num_crops: int | None = None,
        join_clips: bool | None = None,
        combine: Combine | None = None,
        backend: Backend | None = None,
        max_pixels: int | None = None,
        device: str = "auto",
        dtype: DtypeName = "float32",
        compile: bool = False,
    ) -> Self:
        """Load the model of a run folder, a converted folder or a hub id.

        Views and sampling are as in the settings of its training, but for what is given.

        Raises:
            MissingFileError: there is no such folder.
            CheckpointError: it holds no model, or weights and card do not agree.
            ConfigError: a value is out of range, or there is no such device.
        """
        data, views = trained_settings(
            checkpoint,
            views={
                "num_clips": num_clips,
                "num_crops": num_crops,
                "join_clips": join_clips,
                "combine": combine,
            },
            data={"backend": backend, "max_pixels": max_pixels},
        )
        model = load_model(checkpoint)
        return cls(model, data=data, views=views, device=device, dtype=dtype, compile=compile)

    def predict(
        self, video: str | Path | Frames, *, fps: float | None = None, top_k: int = 5
    ) -> VideoPrediction:
        """Classify a file, or frames in memory: uint8 (T, H, W, C), RGB, at `fps`.

        Raises:
            VideoDecodeError: the file cannot be read.
            ConfigError: the frames are of another kind, or sampling needs their rate.
        """
        if isinstance(video, str | Path):
            (prediction,) = self.predict_many([video], top_k=top_k, num_workers=0)
        else:
            (prediction,) = self._classify([self._cut(video, fps or 0.0)], ["frames"], top_k=top_k)
        return prediction

    def predict_many(
        self,
        videos: Iterable[str | Path],
        *,
        top_k: int = 5,
        batch_size: int = 16,
        num_workers: int | None = None,
        on_error: Callable[[VideoDecodeError], object] | None = None,
    ) -> Iterator[VideoPrediction]:
        """Classify files, in order, while `num_workers` processes read those that follow.

        `videos` may be endless: they are asked for as workers get free, a few batches ahead.
        `batch_size` counts views; the views of a video stay together. `num_workers` is by default
        that of the settings of the data, and with 0 this process reads. A file that cannot be read
        is told to `on_error` and left out; without that it is raised.

        Raises:
            VideoDecodeError: a file cannot be read.
            ConfigError: a value is out of range.
            WorkerDiedError: a process that reads was killed.
        """
        given = self.data.num_workers if num_workers is None else num_workers
        ahead, names = tee(videos)
        loader = build_prediction_loader(
            ahead,
            self.model.preprocessing,
            data=replace(self.data, num_workers=given),
            views=self.views,
            batch_size=batch_size,
            num_videos=len(videos) if isinstance(videos, Sized) else None,
            device=self.device,
        )
        yield from self._classify(
            loader, map(str, names), top_k=top_k, batch_size=batch_size, on_error=on_error
        )

    def _classify(
        self,
        batches: Iterable[Batch],
        names: Iterable[str],
        *,
        top_k: int,
        batch_size: int = 16,
        on_error: Callable[[VideoDecodeError], object] | None = None,
    ) -> Iterator[VideoPrediction]:
        """Describe the videos of `batches`, whose names come in the same order."""
        for name, value in (("top_k", top_k), ("batch_size", batch_size)):
            if value < 1:
                raise ConfigError(f"{name} ({value}) must be at least 1")
        waiting = iter(names)
        at_once = self.views.views_at_once(batch_size)
        for answer in run_batches(self._logits, batches, device=self.device, batch_size=at_once):
            errors = {failed.video_index: failed.error for failed in answer.batch.failures}
            scored = self._combine(answer)
            for index in sorted({*errors, *scored}):
                name = next(waiting)
                if index in scored:
                    yield self._describe(name, *scored[index], top_k)
                elif on_error is None:
                    raise errors[index]
                else:
                    on_error(errors[index])

    def _logits(self, clips: Tensor) -> Tensor:
        """uint8 (R, C, T, H, W) -> logits (R, K)."""
        pixels = normalize_clip(clips, self.model.preprocessing)
        return self._run(self.model, pixels.to(self.dtype), self.views).float()

    def _combine(self, answer: Answer[Batch]) -> dict[int, tuple[VideoFacts, Tensor, float]]:
        """Return facts, scores (K,) and share of the time of each video, by its place."""
        batch, views = answer.batch, ViewCollector(self.views.num_views)
        facts = dict(zip(batch.video_index.tolist(), batch.facts, strict=True))
        seconds = answer.seconds / max(len(facts), 1)
        scores = {
            video: (facts[video], self._scores(logits), seconds)
            for video, logits in views.add(answer.logits, batch.video_index)
        }
        views.check_complete()
        return scores

    def _scores(self, logits: Tensor) -> Tensor:
        return combine_views(logits, self.views.combine, multi_label=self.model.multi_label)

    def _describe(
        self, name: str, facts: VideoFacts, scores: Tensor, seconds: float, top_k: int
    ) -> VideoPrediction:
        best = scores.topk(min(top_k, len(scores)))
        counts = self.model.token_counts()
        return VideoPrediction(
            video=name,
            model=self.model.name,
            duration_seconds=facts.duration_seconds,
            fps=facts.fps,
            num_frames=facts.num_frames,
            views=self.views,
            topk=tuple(rank_labels(best.values, best.indices, self.model.labels)),
            num_patch_tokens=counts["input"] or 0,
            num_semantic_tokens=counts["semantic"],
            decode_milliseconds=1000 * facts.read_seconds,
            model_milliseconds=1000 * seconds,
        )

    def _cut(self, frames: Frames, fps: float) -> Batch:
        """Make the batch of all views of frames in memory."""
        start = time.perf_counter()
        frames = check_frames(frames)
        if self.data.target_fps is not None and not fps:
            raise ConfigError(
                f"frames need fps: the model reads them at {self.data.target_fps:g} a second"
            )
        preprocessing, views = self.model.preprocessing, self.views
        sample = sampling_scheme(preprocessing, self.data, num_clips=views.num_clips)
        transform = build_transform(preprocessing, num_crops=views.num_crops, normalize=False)
        chosen = [frames[indices] for indices in sample(len(frames), fps=fps)]
        clips = torch.stack([transform(own, i) for own in chosen for i in range(views.num_crops)])
        duration = len(frames) / fps if fps else 0.0
        facts = VideoFacts(len(frames), fps, duration, time.perf_counter() - start)
        video = torch.zeros(len(clips), dtype=torch.int64)
        return Batch(clips, video, video, torch.arange(len(clips)), facts=(facts,) * len(clips))


def predict_video(
    video: str | Path,
    *,
    checkpoint: str | Path,
    num_clips: int | None = None,
    num_crops: int | None = None,
    combine: Combine | None = None,
    top_k: int = 5,
    backend: Backend | None = None,
    device: str = "auto",
) -> VideoPrediction:
    """Classify one video file; for several, load a `Predictor` once.

    Raises:
        MissingFileError: there is no such checkpoint.
        CheckpointError: it holds no model, or weights and card do not agree.
        VideoDecodeError: the file cannot be read.
        ConfigError: a value is out of range, or there is no such device.
    """
    predictor = Predictor.load(
        checkpoint,
        num_clips=num_clips,
        num_crops=num_crops,
        combine=combine,
        backend=backend,
        device=device,
    )
    return predictor.predict(video, top_k=top_k)
