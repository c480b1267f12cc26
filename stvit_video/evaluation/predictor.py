"""Classify videos with a model that is loaded once.

Legend: R views, T frames, C colours, H W pixels, K classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import replace
from functools import partial
from itertools import repeat, tee
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from stvit_video.datasets.from_settings import build_prediction_loader
from stvit_video.datasets.windows import WindowLength
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.evaluation.classification import VideoClassifier
from stvit_video.evaluation.frames import Frames, cut_videos
from stvit_video.evaluation.prediction import VideoPrediction
from stvit_video.evaluation.timeline import Timeline
from stvit_video.evaluation.timelines import OnProgress, TimelineReader
from stvit_video.evaluation.trained_settings import trained_settings
from stvit_video.evaluation.views import classify_views, describe_views
from stvit_video.evaluation.windows import WindowReading
from stvit_video.models.checkpoint import load_model
from stvit_video.models.device import choose_device
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.progress import notebook_bar
from stvit_video.settings.data import Backend, DataConfig
from stvit_video.settings.timing import DtypeName
from stvit_video.settings.views import Combine, FeatureKind, ViewConfig
from stvit_video.video.live import LiveFrames
from stvit_video.video.pixels.crops import check_frames, normalize_clip


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
        self,
        video: str | Path | Frames,
        *,
        fps: float | None = None,
        top_k: int = 5,
        features: FeatureKind | None = None,
    ) -> VideoPrediction:
        """Classify a file, or frames in memory: uint8 (T, H, W, C), RGB, at `fps`.

        With `features` the answer also holds what the network makes of each view: `pooled` (what
        its head reads), `tokens`, or tokens on their `grid`.

        Raises:
            VideoDecodeError: the file cannot be read.
            ConfigError: the frames are of another kind, or sampling needs their rate; or the
                features cannot be had.
        """
        if isinstance(video, str | Path):
            found = self.predict_many([video], top_k=top_k, num_workers=0, features=features)
        else:
            found = self.predict_frames([video], fps=fps, top_k=top_k, features=features)
        (prediction,) = found
        return prediction

    def predict_frames(
        self,
        videos: Iterable[Frames | LiveFrames],
        *,
        fps: float | None = None,
        top_k: int = 5,
        batch_size: int = 16,
        features: FeatureKind | None = None,
    ) -> Iterator[VideoPrediction]:
        """Classify videos in memory, in order, of any lengths and sizes, as `predict` does one.

        `batch_size` counts views.

        Raises as `predict`.
        """
        classifier = self._classifier(top_k=top_k, batch_size=batch_size, features=features)
        batches = cut_videos(
            videos,
            self.model.preprocessing,
            data=self.data,
            views=self.views,
            fps=fps or 0.0,
            num_videos=max(batch_size // self.views.num_views, 1),
        )
        yield from classifier.read(batches, repeat("frames"))

    def predict_many(
        self,
        videos: Iterable[str | Path],
        *,
        top_k: int = 5,
        batch_size: int = 16,
        num_workers: int | None = None,
        features: FeatureKind | None = None,
        on_error: Callable[[VideoDecodeError], object] | None = None,
    ) -> Iterator[VideoPrediction]:
        """Classify files, in order, while `num_workers` processes read those that follow.

        `videos` may be endless: they are asked for as workers get free, a few batches ahead.
        `batch_size` counts views; the views of a video stay together. `num_workers` is by default
        that of the settings of the data, and with 0 this process reads. A file that cannot be read
        is told to `on_error` and left out; without that it is raised.

        Raises:
            VideoDecodeError: a file cannot be read.
            ConfigError: a value is out of range, or the features cannot be had.
            WorkerDiedError: a process that reads was killed.
        """
        classifier = self._classifier(top_k=top_k, batch_size=batch_size, features=features)
        given = self.data.num_workers if num_workers is None else num_workers
        num_videos = len(videos) if isinstance(videos, Sized) else None
        ahead, names = tee(videos)
        loader = build_prediction_loader(
            ahead,
            self.model.preprocessing,
            data=replace(self.data, num_workers=given),
            views=self.views,
            batch_size=batch_size,
            num_videos=num_videos,
            device=self.device,
        )
        found = classifier.read(loader, map(str, names), on_error)
        yield from notebook_bar(found, "predicting", total=num_videos)

    def timeline(
        self,
        video: str | Path | Frames,
        *,
        window: float | None = None,
        stride: float | None = None,
        fps: float | None = None,
        top_k: int = 5,
        batch_size: int = 16,
        num_workers: int = 0,
    ) -> Timeline:
        """Classify a file, or frames in memory at `fps`, window after window; see `timelines`.

        Raises as `timelines`, and:
            ConfigError: the frames are of another kind, or their rate is not given.
        """
        reader = self._timeline_reader(WindowLength(window, stride), top_k, batch_size, num_workers)
        if isinstance(video, str | Path):
            (found,) = reader.read_files([video])
            return found
        if not fps:
            raise ConfigError("frames need fps: windows are counted in seconds")
        return reader.read_frames(check_frames(video), fps=fps)

    def timelines(
        self,
        videos: Iterable[str | Path],
        *,
        window: float | None = None,
        stride: float | None = None,
        top_k: int = 5,
        batch_size: int = 16,
        num_workers: int | None = None,
        on_error: Callable[[VideoDecodeError], object] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Iterator[Timeline]:
        """Classify files of any length, in order: a window every `stride` seconds.

        A window is read as a video of its own would be. Windows are `window` seconds long, by
        default as long as a clip of the model, and begin `stride` seconds apart, by default where
        the one before ends. Frames are decoded once for all windows that show them; memory does not
        grow with the length of a video. The rest is as in `predict_many`; `on_progress` is told
        windows that are done, and all of the video.

        Raises:
            VideoDecodeError: a file cannot be read.
            ConfigError: a value is out of range, or the model's clips have no length.
            WorkerDiedError: a process that reads was killed.
        """
        workers = self.data.num_workers if num_workers is None else num_workers
        length = WindowLength(window, stride)
        reader = self._timeline_reader(length, top_k, batch_size, workers, on_progress)
        yield from reader.read_files(videos, on_error)

    def _timeline_reader(
        self,
        length: WindowLength,
        top_k: int,
        batch_size: int,
        num_workers: int,
        on_progress: OnProgress | None = None,
    ) -> TimelineReader:
        _check_counts(top_k=top_k, batch_size=batch_size)
        reading = WindowReading(
            self.model.preprocessing,
            data=replace(self.data, num_workers=num_workers),
            views=self.views,
            length=length,
            device=self.device,
        )
        return TimelineReader(
            self.model,
            self._logits,
            reading,
            top_k=top_k,
            batch_size=batch_size,
            on_progress=on_progress,
        )

    def _classifier(
        self, *, top_k: int, batch_size: int, features: FeatureKind | None
    ) -> VideoClassifier:
        _check_counts(top_k=top_k, batch_size=batch_size)
        if features is not None and self.views.join_clips:
            raise ConfigError("features are of single clips; leave out join_clips")
        return VideoClassifier(
            self.model,
            partial(self._describe, kind=features),
            self.views,
            device=self.device,
            top_k=top_k,
            batch_size=batch_size,
        )

    def _logits(self, clips: Tensor) -> Tensor:
        """uint8 (R, C, T, H, W) -> logits (R, K)."""
        pixels = normalize_clip(clips, self.model.preprocessing)
        return self._run(self.model, pixels.to(self.dtype), self.views).float()

    def _describe(self, clips: Tensor, kind: FeatureKind | None) -> tuple[Tensor, Tensor | None]:
        """uint8 (R, C, T, H, W) -> logits (R, K), and features (R, ...)."""
        if kind is None:
            return self._logits(clips), None
        pixels = normalize_clip(clips, self.model.preprocessing)
        return describe_views(self.model, pixels.to(self.dtype), kind)


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"{name} ({value}) must be at least 1")
