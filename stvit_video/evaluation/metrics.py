"""How often the scores of videos are right.

Legend: M videos, K classes.
"""

from dataclasses import dataclass

from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Shares of videos, in 0..1."""

    top1: float
    """Videos whose highest score is that of their class."""
    top5: float
    """Videos whose class is among the five highest scores; all, where there are five or fewer."""
    mean_class: float
    """Mean over the classes that have videos of the share that is right."""
    num_videos: int
    """Videos that were measured."""


def measure_accuracy(scores: Tensor, labels: Tensor) -> Accuracy:
    """Compare scores (M, K) with class indices (M,)."""
    if not len(labels):
        raise ValueError("scores is empty: no video was classified")
    num_classes = scores.shape[-1]
    per_class = multiclass_accuracy(scores, labels, num_classes=num_classes, average="none")  # (K,)
    return Accuracy(
        top1=float(_share(scores, labels)),
        top5=float(_share(scores, labels, top_k=5)) if num_classes > 5 else 1.0,
        mean_class=float(per_class[labels.unique()].mean()),
        num_videos=len(labels),
    )


def _share(scores: Tensor, labels: Tensor, *, top_k: int = 1) -> Tensor:
    return multiclass_accuracy(
        scores, labels, num_classes=scores.shape[-1], average="micro", top_k=top_k
    )
