"""Classify videos with a model that is loaded once.

Legend: V clips of a video, R views, T frames, C colours, H W pixels, K classes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.datasets.from_settings import sampling_scheme
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.evaluation.prediction import VideoPrediction, rank_labels
from stvit_video.evaluation.views import combine_views
from stvit_video.models.checkpoint import find_card, load_model
from stvit_video.models.device import choose_device
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.data import Backend, DataConfig
from stvit_video.settings.timing import DtypeName
from stvit_video.settings.views import Combine, ViewConfig
from stvit_video.video.decoding.open import open_video
from stvit_video.video.pixels.crops import build_transform, check_frames, normalize_clip

Frames = NDArray[np.uint8] | Tensor
"""All frames of a video, uint8 (T, H, W, C), RGB."""

_BATCH_SIZE = 16


class Views(NamedTuple):
    """The views of a video, and what it is."""

    video: str
    num_frames: int
    fps: float
    """0 where it is not known."""
    duration_seconds: float
    """0 where it is not known."""
    clips: Tensor
    """uint8 (R, C, T, H, W), clip by clip and crop by crop."""
    seconds: float
    """Spent on opening, decoding and cropping."""


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
        self.data = data or DataConfig()
        self.views = views or ViewConfig()
        self._transform = build_transform(
            model.preprocessing, num_crops=self.views.num_crops, normalize=False
        )
        self._run: Callable[[Tensor], Tensor] = torch.compile(model) if compile else model

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        *,
        num_clips: int | None = None,
        num_crops: int | None = None,
        combine: Combine | None = None,
        backend: Backend | None = None,
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
            views={"num_clips": num_clips, "num_crops": num_crops, "combine": combine},
            data={"backend": backend},
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
        return self._classify(self.read(video, fps=fps), top_k)

    def predict_many(
        self,
        videos: Iterable[str | Path],
        *,
        top_k: int = 5,
        on_error: Callable[[VideoDecodeError], object] | None = None,
    ) -> Iterator[VideoPrediction]:
        """Classify files one after the other; the next one is decoded while the model runs.

        A file that cannot be read is told to `on_error` and left out; without that it is raised.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            waiting: Future[Views] | None = None
            for video in chain(videos, [None]):
                current = waiting
                waiting = None if video is None else pool.submit(self.read, video)
                if current is None:
                    continue
                try:
                    views = current.result()
                except VideoDecodeError as error:
                    if on_error is None:
                        raise
                    on_error(error)
                    continue
                yield self._classify(views, top_k)

    def read(self, video: str | Path | Frames, *, fps: float | None = None) -> Views:
        """Read all views of a video with one open. Raises as `predict`."""
        start = time.perf_counter()
        sample = sampling_scheme(
            self.model.preprocessing, self.data, num_clips=self.views.num_clips
        )
        if isinstance(video, str | Path):
            with open_video(Path(video), backend=self.data.backend) as decoder:
                name, info = str(video), decoder.info
                num_frames, rate, duration = info.num_frames, info.fps, info.duration_seconds
                wanted, place = sample(num_frames, fps=rate).unique(return_inverse=True)
                frames = decoder.frames(wanted)  # (all frames of the clips, H, W, C)
        else:
            whole = check_frames(video)
            name, num_frames, rate = "frames", len(whole), fps or 0.0
            duration = num_frames / rate if rate else 0.0
            if self.data.target_fps is not None and not rate:
                raise ConfigError(
                    f"frames need fps: the model reads them at {self.data.target_fps:g} a second"
                )
            wanted, place = sample(num_frames, fps=rate).unique(return_inverse=True)
            frames = whole[wanted]
        crops = range(self.views.num_crops)
        clips = torch.stack([self._transform(frames[own], crop) for own in place for crop in crops])
        return Views(name, num_frames, rate, duration, clips, time.perf_counter() - start)

    @torch.inference_mode()
    def _classify(self, views: Views, top_k: int) -> VideoPrediction:
        if top_k < 1:
            raise ConfigError(f"top_k ({top_k}) must be at least 1")
        start = time.perf_counter()
        logits = torch.cat([self._logits(part) for part in views.clips.split(_BATCH_SIZE)])
        scores = combine_views(
            logits,  # (R, K)
            torch.zeros(len(logits), dtype=torch.int64),
            num_videos=1,
            num_views=self.views.num_views,
            combine=self.views.combine,
        )[0]  # (K,)
        seconds = time.perf_counter() - start
        best = scores.topk(min(top_k, len(scores)))
        counts = self.model.token_counts()
        return VideoPrediction(
            video=views.video,
            model=self.model.name,
            duration_seconds=views.duration_seconds,
            fps=views.fps,
            num_frames=views.num_frames,
            views=self.views,
            topk=tuple(rank_labels(best.values, best.indices, self.model.labels)),
            num_patch_tokens=counts["input"] or 0,
            num_semantic_tokens=counts["semantic"],
            decode_milliseconds=1000 * views.seconds,
            model_milliseconds=1000 * seconds,
        )

    def _logits(self, clips: Tensor) -> Tensor:
        """uint8 (R, C, T, H, W) -> logits (R, K) on the CPU."""
        pixels = normalize_clip(clips.to(self.device), self.model.preprocessing)
        return self._run(pixels.to(self.dtype)).float().cpu()


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


def trained_settings(
    checkpoint: str | Path, *, views: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[DataConfig, ViewConfig]:
    """Return how to read videos: as the training of a checkpoint did, but for what is given.

    None means not given; what neither says has its default.

    Raises:
        ConfigError: a value is out of range.
    """
    card = find_card(checkpoint)
    trained = {} if card is None else card.extra.get("config", {})
    own = replace(DataConfig(), **_given(trained.get("data", {})))
    return (
        replace(own, **_given(data)),
        ViewConfig(**(_given(trained.get("views", {})) | _given(views))),
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
