"""How often the scores of videos are right, over all and class by class.

Legend: M videos, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Shares of videos, in 0..1."""

    top1: float
    """Videos whose highest score is that of their class, or of one of their classes."""
    top5: float
    """The same for one of the five highest scores; all, where there are five or fewer."""
    mean_class: float | None
    """Mean over the classes that have videos of the share that is right; None with several classes
    a video."""
    mean_average_precision: float | None
    """Mean over the classes that have videos; None with one class a video."""
    num_videos: int
    """Videos that were measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassAccuracy:
    """What became of the videos of one class; shares are None where it has none."""

    label: str
    num_found: int
    """Videos of the class that have a file."""
    num_decoded: int
    """Of those, the ones that the shares are over."""
    top1: float | None
    """Share of the videos whose highest score is that of this class."""
    top5: float | None
    """Share of the videos with this class among the five highest scores."""
    average_precision: float | None
    """Area under precision over recall; None with one class a video."""
    taken_for: str | None
    """The other class that most of its videos are taken for; None where none is, and with several
    classes a video."""
    num_taken_for: int
    """Videos that are."""


def measure_accuracy(scores: Tensor, labels: Tensor) -> Accuracy:
    """Compare scores (M, K) with class indices (M,), or with bool (M, K) for several a video."""
    if not len(labels):
        raise ValueError("scores is empty: no video was classified")
    targets = as_targets(labels, scores.shape[-1])
    has_videos = targets.any(dim=0)  # (K,)
    is_multi_label = labels.ndim == 2
    if is_multi_label:
        mean_precision = float(_average_precision(scores, targets)[has_videos].mean())
    else:
        mean_class = float(_class_share(_best(scores, 1), targets)[has_videos].mean())
    return Accuracy(
        top1=float((_best(scores, 1) & targets).any(dim=1).double().mean()),
        top5=float((_best(scores, 5) & targets).any(dim=1).double().mean()),
        mean_class=None if is_multi_label else mean_class,
        mean_average_precision=mean_precision if is_multi_label else None,
        num_videos=len(labels),
    )


def measure_classes(
    scores: Tensor, labels: Tensor, *, class_names: Sequence[str], num_found: Sequence[int]
) -> tuple[ClassAccuracy, ...]:
    """Do the same class by class; `num_found` (K,) counts the videos that do not decode, too."""
    targets = as_targets(labels, scores.shape[-1])
    shares = [_class_share(_best(scores, k), targets).tolist() for k in (1, 5)]
    precision: list[float | None] = [None] * len(class_names)
    others = torch.zeros(len(class_names), len(class_names), dtype=torch.int64)
    if labels.ndim == 2:
        precision = list(_average_precision(scores, targets).tolist())
    else:
        others = confusion_matrix(scores, labels).fill_diagonal_(0)
    num_taken, taken = (values.tolist() for values in others.max(dim=1))
    return tuple(
        ClassAccuracy(
            label=name,
            num_found=num_found[k],
            num_decoded=count,
            top1=shares[0][k] if count else None,
            top5=shares[1][k] if count else None,
            average_precision=precision[k] if count else None,
            taken_for=class_names[taken[k]] if num_taken[k] else None,
            num_taken_for=num_taken[k],
        )
        for k, (name, count) in enumerate(
            zip(class_names, targets.sum(dim=0).tolist(), strict=True)
        )
    )


def confusion_matrix(scores: Tensor, labels: Tensor) -> Tensor:
    """Count which class is taken for which, of class indices (M,): int64 (K, K), true x said."""
    num_classes = scores.shape[-1]
    pairs = labels * num_classes + scores.argmax(dim=1)
    return pairs.bincount(minlength=num_classes**2).reshape(num_classes, num_classes)


def as_targets(labels: Tensor, num_classes: int) -> Tensor:
    """Mark the classes of each video: class indices (M,), or what it returns -> bool (M, K)."""
    if labels.ndim == 2:
        return labels.bool()
    return torch.nn.functional.one_hot(labels, num_classes).bool()


def _best(scores: Tensor, k: int) -> Tensor:
    """Mark the `k` highest scores of each video: bool (M, K)."""
    best = scores.topk(min(k, scores.shape[-1])).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)


def _class_share(best: Tensor, targets: Tensor) -> Tensor:
    """Share of the videos of each class that are marked with it: (K,), nan where it has none."""
    return (best & targets).sum(dim=0).double() / targets.sum(dim=0)


def _average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Area under precision over recall of each class: (K,), nan where it has no videos."""
    from sklearn.metrics import average_precision_score  # takes a second

    return torch.tensor(
        [
            average_precision_score(targets[:, k], scores[:, k]) if targets[:, k].any() else nan
            for k in range(scores.shape[-1])
        ],
        dtype=torch.float64,
    )
