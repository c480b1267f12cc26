"""Score the videos of a loader, all views of each.

Legend: B views in a batch, V views per video, M videos that decode, K classes.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from stvit_video.datasets.manifest import Manifest
from stvit_video.errors import CheckpointError, DatasetError
from stvit_video.evaluation.forward import ViewBatch, run_batches
from stvit_video.evaluation.prediction import rank_labels
from stvit_video.evaluation.views import ViewCollector, classify_views, combine_views
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.pixels.crops import normalize_clip


class ScoredBatch(NamedTuple):
    """What became of the videos that a batch completed."""

    video_index: list[int]
    """Positions in the data set of those that decode."""
    logits: list[Tensor]
    """(V, K) each."""
    failures: list[tuple[int, str]]
    """Position and error of each video that does not decode."""


class VideoScores(NamedTuple):
    """Scores of the videos that decode, in the order of the data set."""

    scores: Tensor
    """(M, K): probabilities, or logits where logits were averaged."""
    video_index: Tensor
    """int64 (M,): position in the data set."""
    failures: tuple[tuple[int, str], ...] = ()
    """Position and error of each video that does not decode."""

    @classmethod
    def of(cls, scores: dict[int, Tensor], failures: Iterable[tuple[int, str]] = ()) -> Self:
        """Put together the scores (K,) by position."""
        order = sorted(scores)
        rows = [scores[index] for index in order]
        index = torch.tensor(order, dtype=torch.int64)
        return cls(torch.stack(rows) if rows else torch.empty(0), index, tuple(sorted(failures)))

    @classmethod
    def merge(cls, parts: Iterable["VideoScores"]) -> Self:
        """Put together what several processes scored, no video twice.

        Raises:
            DatasetError: no video decodes.
        """
        parts = list(parts)
        failures = sorted(failure for part in parts for failure in part.failures)
        scored = [part for part in parts if len(part.video_index)]
        if not scored:
            raise DatasetError(f"none of the {len(failures)} videos decodes: {failures[0][1]}")
        video_index, order = torch.cat([part.video_index for part in scored]).sort()
        if (video_index.diff() == 0).any():
            raise ValueError("a video was scored twice")
        return cls(torch.cat([part.scores for part in scored])[order], video_index, tuple(failures))


@torch.inference_mode()
def score_videos(
    model: nn.Module,
    loader: Iterable[ViewBatch],
    *,
    preprocessing: Preprocessing,
    views: ViewConfig,
    device: torch.device,
    batch_size: int = 16,
    combine: Callable[[Tensor], Tensor] | None = None,
    on_batch: Callable[[ScoredBatch], object] = lambda batch: None,
) -> VideoScores:
    """Classify all views that `loader` serves, `batch_size` at a time, and combine them by video.

    Where clips are joined, `loader` serves whole videos, view by view. The views of a video are
    averaged when they are complete; `on_batch` is handed them then. The
    model is left in eval mode. `combine` makes scores (K,) of the views (V, K) of a video; None
    does as `views` says.

    Raises:
        CheckpointError: an answer is no number.
    """
    combine = combine or partial(combine_views, combine=views.combine)
    model.eval().to(device)

    def run(clips: Tensor) -> Tensor:
        return classify_views(model, normalize_clip(clips, preprocessing), views)

    collector = ViewCollector(views.num_views)
    scores: dict[int, Tensor] = {}
    failures: list[tuple[int, str]] = []
    at_once = views.views_at_once(batch_size)
    for batch, made, _ in run_batches(run, loader, device=device, batch_size=at_once):
        complete = dict(collector.add(made, batch.video_index))
        for index, logits in complete.items():
            if not logits.isfinite().all():
                raise CheckpointError(
                    f"the network gives no numbers for video {index} of the list (from 0); its"
                    " weights are broken"
                )
            scores[index] = combine(logits)
        failed = [(int(index), str(error)) for index, error in batch.failures]
        failures += failed
        on_batch(ScoredBatch(list(complete), list(complete.values()), failed))
    collector.check_complete()
    return VideoScores.of(scores, failures)


def list_predictions(
    result: VideoScores, manifest: Manifest, *, top_k: int = 5
) -> list[dict[str, Any]]:
    """Describe the answer for each video that decodes: its file, its class and the `top_k`.

    With several labels a video, `label` is a list of them.
    """
    num_classes = result.scores.shape[-1]
    names = [manifest.class_name(index) for index in range(num_classes)]
    best = result.scores.topk(min(top_k, num_classes))  # (M, k)
    records = (manifest.records[index] for index in result.video_index.tolist())
    return [
        {
            "video": str(record.path),
            "label": classes if manifest.is_multi_label else classes[0],
            "topk": rank_labels(values, indices, names),
        }
        for record, values, indices in zip(records, best.values, best.indices, strict=True)
        for classes in [manifest.classes_of(record)]
    ]
