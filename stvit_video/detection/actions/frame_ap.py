"""Frame mAP: the measure of AVA.

Detections of a key frame and class are taken by score. Each belongs to the annotated box of that
class which it overlaps most, and is right where that is at least half and no better one took it.

Legend: D detections, G annotated actions, P pairs of both, K classes.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stvit_video.detection.average_precision import average_precision

MOST_IN_FRAME = 50
"""Detections of a key frame that count, over all classes: the official evaluation drops others."""


class Actions(NamedTuple):
    """Actions of persons in key frames, one row for each."""

    frame: NDArray[np.int64]
    """(D,): number of the key frame."""
    box: NDArray[np.float32]
    """(D, 4): x1, y1, x2, y2."""
    label: NDArray[np.int64]
    """(D,): index of the class."""
    score: NDArray[np.float32]
    """(D,)."""

    def pick(self, rows: NDArray[np.generic]) -> "Actions":
        """Return some rows."""
        return Actions(*(column[rows] for column in self))


def frame_average_precision(
    found: Actions,
    truth: Actions,
    *,
    num_classes: int,
    min_overlap: float = 0.5,
    most_in_frame: int | None = MOST_IN_FRAME,
) -> NDArray[np.float64]:
    """Return the average precision of each class, (K,); nan where nothing of it is annotated."""
    found = found.pick(np.argsort(-found.score, kind="stable"))
    if most_in_frame is not None:
        found = found.pick(_place_in_group(found.frame) < most_in_frame)
    is_right = _is_right(found, truth, num_classes, min_overlap)
    num_truths = np.bincount(truth.label, minlength=num_classes)
    order = np.argsort(found.label, kind="stable")
    ends = np.searchsorted(found.label[order], np.arange(num_classes + 1))
    parts = [is_right[order[start:stop]] for start, stop in pairwise(ends.tolist())]
    scored = zip(parts, num_truths.tolist(), strict=True)
    return np.array([average_precision(part, number) for part, number in scored])


def _place_in_group(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the rows of each group, in their order, from 0."""
    order = np.argsort(group, kind="stable")
    ranked = group[order]
    start = np.searchsorted(ranked, ranked)
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - start
    return place


def _is_right(
    found: Actions, truth: Actions, num_classes: int, min_overlap: float
) -> NDArray[np.bool_]:
    """Say which detections, best first, are right."""
    order = np.argsort(truth.frame * num_classes + truth.label, kind="stable")
    truth = truth.pick(order)
    keys = truth.frame * num_classes + truth.label
    own = found.frame * num_classes + found.label
    first = np.searchsorted(keys, own)
    count = np.searchsorted(keys, own, side="right") - first
    detection = np.repeat(np.arange(len(own)), count)  # (P,)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    target = first[detection] + within
    overlap = box_overlap(found.box[detection], truth.box[target])
    best = np.lexsort((within, -overlap, detection))  # of equals the first
    best = best[_place_in_group(detection[best]) == 0]
    best = best[overlap[best] >= min_overlap]
    _, taker = np.unique(target[best], return_index=True)  # the best score, as they are in order
    is_right = np.zeros(len(own), dtype=bool)
    is_right[detection[best[taker]]] = True
    return is_right


def box_overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return intersection over union of boxes (P, 4) and (P, 4): (P,)."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    both = sum((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (one, other))
    return shared / np.maximum(both - shared, 1e-12)


def as_actions(
    frames: NDArray[Any],
    boxes: NDArray[Any],
    scores: NDArray[Any],
    chosen: NDArray[Any],
) -> Actions:
    """Return a row for each `chosen` (N, K) action of a box."""
    box, label = np.nonzero(chosen)
    return Actions(frames[box], boxes[box], label, scores[box, label])


def mean_of(precisions: NDArray[Any]) -> float:
    """Return the mean over the classes that are annotated; nan where none is."""
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else float("nan")
