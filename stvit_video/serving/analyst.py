"""What a worker does with a video: models side by side, window after window, and their clusters.

Legend: W windows, C colours, T frames, S height and width of a clip.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stvit_video.datasets.windows import WindowLength
from stvit_video.errors import StvitVideoError, VideoDecodeError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.timeline import describe_windows
from stvit_video.files import write_file
from stvit_video.serving.memory import bound_memory
from stvit_video.serving.messages import AnalysisSettings, Answer, Job
from stvit_video.video.decoding.decoder import Decoder
from stvit_video.video.decoding.open import open_video
from stvit_video.visible import cut, visible
from stvit_video.visualize.page import windows_data
from stvit_video.visualize.reading import (
    ClipPlan,
    classify_clip,
    gathers,
    normalized,
    plan_clips,
)
from stvit_video.visualize.run import draw_page

_LEAST_TIMES, _MORE_SECONDS = 7, 2.0
"""Forward passes of each model that are compared, and how long more of them may take."""


class Analyst:
    """Models that look at videos."""

    def __init__(self, settings: AnalysisSettings) -> None:
        """Load the models, run each once, and bound the memory of this process from there on.

        Raises:
            CheckpointError: a folder holds no model.
            ConfigError: there is no such device.
        """
        self.settings = settings
        self.length = WindowLength(settings.window, settings.stride)
        self.predictors = [
            Predictor.load(checkpoint, max_pixels=settings.max_pixels, device=settings.device)
            for checkpoint in settings.checkpoints
        ]
        for predictor in self.predictors:
            like = predictor.model.preprocessing
            shape = (1, 3, like.num_frames, like.image_size, like.image_size)
            _timed(predictor, normalized(predictor, torch.zeros(shape, dtype=torch.uint8)))
        if self.predictors[0].device.type == "cpu":
            bound_memory(settings.max_memory)

    def describe(self) -> list[dict[str, Any]]:
        """Name the models and count their tokens."""
        return [_describe_model(predictor) for predictor in self.predictors]

    def __call__(self, job: Job) -> Answer:
        """Look at a video and write the page of its clusters."""
        try:
            return Answer(self._look(job))
        except VideoDecodeError as error:
            detail = f": {error.detail}" if error.detail else ""
            return Answer(None, cut(visible(f"the video cannot be read: {error.reason}{detail}")))
        except StvitVideoError as error:
            return Answer(None, cut(visible(error)))

    def _look(self, job: Job) -> dict[str, Any]:
        settings = self.settings
        with open_video(job.video, max_pixels=settings.max_pixels) as decoder:
            info = decoder.info
            models = compare_models(decoder, self.predictors, self.length, settings)
            found = {
                "duration": info.duration_seconds,
                "analysed": min(info.duration_seconds, settings.max_duration),
                "fps": info.fps,
                "frames": info.num_frames,
                "width": info.width,
                "height": info.height,
                "codec": info.codec,
                "models": models,
                "agree": _agreement(models),
                "has_page": False,
            }
            drawn = next((p for p in self.predictors if gathers(p.model)), None)
            if drawn is not None:
                text = draw_page(
                    decoder,
                    drawn,
                    title="Clusters",
                    length=self.length,
                    max_duration=settings.max_duration,
                    top_k=settings.top_k,
                )
                write_file(job.page, text)
                found["has_page"] = True
        return found


def _describe_model(predictor: Predictor) -> dict[str, Any]:
    """Name a model and count its tokens."""
    counts = predictor.model.token_counts()
    return {
        "name": predictor.model.name,
        "gathers": gathers(predictor.model),
        "patches": counts["input"],
        "tokens": counts["semantic"],
    }


def compare_models(
    decoder: Decoder,
    predictors: Sequence[Predictor],
    length: WindowLength,
    settings: AnalysisSettings,
) -> list[dict[str, Any]]:
    """Classify every window by every model, in turns, and time both reading and forward passes.

    Models that read the same frames in the same size share the reading.
    """
    plans = [
        plan_clips(decoder, one, length=length, max_duration=settings.max_duration)
        for one in predictors
    ]
    answers: list[list[Tensor]] = [[] for _ in predictors]
    reading = [0.0] * len(predictors)
    running: list[list[float]] = [[] for _ in predictors]  # seconds of each forward pass
    inputs: list[Tensor] = []
    for number in range(max(len(plan.windows) for plan in plans)):
        inputs = _read_window(decoder, predictors, plans, number, reading)
        for i, (predictor, pixels) in enumerate(zip(predictors, inputs, strict=True)):
            if number < len(plans[i].windows):
                scores, seconds = _timed(predictor, pixels)
                answers[i].append(scores)
                running[i].append(seconds)
    totals = [sum(seconds) for seconds in running]
    _run_more(predictors, inputs, running)
    return [
        {
            **_describe_model(predictor),
            "windows": windows_data(
                describe_windows(
                    plan.windows,
                    torch.stack(scores),
                    predictor.model.labels,
                    top_k=settings.top_k,
                )
            ),
            "read_ms": round(1000 * read, 1),
            "model_ms": round(1000 * total, 1),
            "window_ms": round(1000 * statistics.median(seconds), 2),
        }
        for predictor, plan, scores, read, total, seconds in zip(
            predictors, plans, answers, reading, totals, running, strict=True
        )
    ]


def _read_window(
    decoder: Decoder,
    predictors: Sequence[Predictor],
    plans: Sequence[ClipPlan],
    number: int,
    reading: list[float],
) -> list[Tensor]:
    """Read a window (the last one where a model has fewer) for every model, and add up the time."""
    inputs: list[Tensor] = []
    clip, read_by, seconds = torch.empty(0), None, 0.0
    for i, (predictor, plan) in enumerate(zip(predictors, plans, strict=True)):
        if read_by is None or not _reads_alike(plan, read_by):
            start = time.perf_counter()
            clip, read_by = plan.read_clip(decoder, min(number, len(plan.windows) - 1)), plan
            seconds = time.perf_counter() - start
        reading[i] += seconds
        inputs.append(normalized(predictor, clip))
    return inputs


def _timed(predictor: Predictor, pixels: Tensor) -> tuple[Tensor, float]:
    """Classify a clip; return scores (K,) and seconds."""
    start = time.perf_counter()
    with torch.inference_mode():
        scores = classify_clip(predictor, pixels)
    return scores, time.perf_counter() - start


def _run_more(
    predictors: Sequence[Predictor], inputs: Sequence[Tensor], running: list[list[float]]
) -> None:
    """Run the last window again, in turns, until there are enough times to compare."""
    end = time.perf_counter() + _MORE_SECONDS
    while len(predictors) > 1 and min(map(len, running)) < _LEAST_TIMES:
        for predictor, pixels, seconds in zip(predictors, inputs, running, strict=True):
            seconds.append(_timed(predictor, pixels)[1])
        if time.perf_counter() > end:
            return


def _reads_alike(plan: ClipPlan, other: ClipPlan) -> bool:
    is_same_size = plan.transform.size == other.transform.size
    is_same_crop = plan.transform.choose == other.transform.choose
    return is_same_size and is_same_crop and np.array_equal(plan.clips, other.clips)


def _agreement(models: Sequence[dict[str, Any]]) -> float | None:
    """Return the share of windows to which two models give the same best label."""
    if len(models) < 2:
        return None
    first, second = ([w["topk"][0]["label"] for w in model["windows"]] for model in models[:2])
    if len(first) != len(second):
        return None
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)
