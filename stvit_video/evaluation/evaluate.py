"""Measure the accuracy of a model over all views of all videos of a loader.

Legend: B views in a batch, R rows (one per view), M videos that decode, K classes.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stvit_video.errors import DatasetError
from stvit_video.evaluation.forward import ViewBatch, run_batches
from stvit_video.evaluation.metrics import Accuracy, measure_accuracy
from stvit_video.evaluation.prediction import rank_labels
from stvit_video.evaluation.views import combine_views
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.pixels.crops import normalize_clip
from stvit_video.video.sampling.scheme import SamplingScheme


class VideoScores(NamedTuple):
    """Scores of the videos that decode, in the order of the data set."""

    scores: Tensor
    """(M, K): probabilities, or logits where logits were averaged."""
    labels: Tensor
    """int64 (M,)."""
    video_index: Tensor
    """int64 (M,): position in the data set."""
    failures: tuple[tuple[int, str], ...]
    """Position and error of each video that does not decode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationReport:
    """Accuracy, with what it was measured on."""

    top1: float
    """Share of the decoded videos, in 0..1."""
    top5: float
    mean_class: float
    num_annotated: int
    """Videos that the annotation names; those without a file included, where they are known."""
    num_found: int
    """Videos that have a file."""
    num_decoded: int
    """Videos that the accuracy is over."""
    failed: tuple[str, ...]
    """Errors of the videos that do not decode."""
    num_clips: int
    num_crops: int
    combine: str
    device: str
    elapsed_seconds: float
    """Decoding included."""
    sampling: SamplingScheme | None = None
    """How the clips were chosen; None where the loader was not built here."""

    @property
    def coverage(self) -> str:
        """Say what the accuracy is over: `240 of 240 videos`, with those found if not all were."""
        found = "" if self.num_found == self.num_annotated else f" ({self.num_found} found)"
        return f"{self.num_decoded} of {self.num_annotated} videos{found}"


@torch.inference_mode()
def score_videos(
    model: nn.Module,
    loader: Iterable[ViewBatch],
    *,
    preprocessing: Preprocessing,
    views: ViewConfig,
    device: torch.device,
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda num_videos: None,
) -> VideoScores:
    """Classify all views that `loader` serves, `batch_size` at a time, and combine them by video.

    `advance` is told after every batch how many videos it held. The model is left in eval mode.
    """
    model.eval().to(device)

    def run(clips: Tensor) -> Tensor:
        return model(normalize_clip(clips, preprocessing))

    logits, video_index, labels, failures = [], [], [], []
    for batch, made, _ in run_batches(run, loader, device=device, batch_size=batch_size):
        logits += [made] if len(made) else []
        video_index.append(batch.video_index)
        labels.append(batch.label)
        failures += [(int(index), str(error)) for index, error in batch.failures]
        advance(len(batch.video_index.unique()) + len(batch.failures))
    if not logits:
        raise DatasetError(f"none of the {len(failures)} videos decodes: {failures[0][1]}")
    found, rows = torch.cat(video_index).unique(return_inverse=True)  # (M,), (R,)
    scores = combine_views(
        torch.cat(logits),
        rows,
        num_videos=len(found),
        num_views=views.num_views,
        combine=views.combine,
    )
    label_of = torch.zeros(len(found), dtype=torch.int64).scatter_(0, rows, torch.cat(labels).cpu())
    return VideoScores(scores, label_of, found, tuple(failures))


def evaluate_model(
    model: nn.Module,
    loader: Iterable[ViewBatch],
    *,
    preprocessing: Preprocessing,
    views: ViewConfig,
    device: torch.device,
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda num_videos: None,
) -> tuple[EvaluationReport, VideoScores]:
    """Measure the accuracy over all videos of `loader`, `views` of each."""
    start = time.perf_counter()
    result = score_videos(
        model,
        loader,
        preprocessing=preprocessing,
        views=views,
        device=device,
        batch_size=batch_size,
        advance=advance,
    )
    accuracy: Accuracy = measure_accuracy(result.scores, result.labels)
    report = EvaluationReport(
        top1=accuracy.top1,
        top5=accuracy.top5,
        mean_class=accuracy.mean_class,
        num_annotated=accuracy.num_videos + len(result.failures),
        num_found=accuracy.num_videos + len(result.failures),
        num_decoded=accuracy.num_videos,
        failed=tuple(error for _, error in result.failures),
        num_clips=views.num_clips,
        num_crops=views.num_crops,
        combine=views.combine,
        device=str(device),
        elapsed_seconds=time.perf_counter() - start,
    )
    return report, result


def list_predictions(
    result: VideoScores, paths: Sequence[Path], class_names: Sequence[str], *, top_k: int = 5
) -> list[dict[str, Any]]:
    """Describe the answer for each video that decodes: its file, its class and the `top_k`."""
    best = result.scores.topk(min(top_k, result.scores.shape[-1]))  # (M, k)
    return [
        {
            "video": str(paths[int(index)]),
            "label": class_names[int(label)],
            "topk": rank_labels(values, indices, class_names),
        }
        for index, label, values, indices in zip(
            result.video_index, result.labels, best.values, best.indices, strict=True
        )
    ]
