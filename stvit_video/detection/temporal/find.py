"""From the scores of windows to segments: what is above a threshold, at several of them.

Each class is cut at tenths of its highest score in the video; neighbouring windows above a cut are
a candidate. A candidate counts for as much as its mean score is above that of what lies next to it,
so that of the nested ones the one with the sharpest ends comes first; of those that overlap by half
or more the best is kept.

Legend: W windows, K classes, S segments.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stvit_video.detection.temporal.annotations import Segments

LEVELS = tuple(level / 10 for level in range(1, 10))
"""Cuts, as shares of the highest score of a class in a video."""
LEAST_SCORE = 0.01
"""Highest score below which a class is not looked for."""
MOST_OVERLAP = 0.5
"""IoU from which on the lesser of two segments of a class is dropped."""
MOST_SEGMENTS = 100
"""Of a video: the best of all classes, as is usual for ActivityNet."""
_BORDER = 0.25
"""What lies next to a candidate, on either side, as a share of its windows; at least one."""


def find_segments(
    times: NDArray[np.float64], scores: NDArray[np.float64], *, video: int = 0
) -> Segments:
    """Find the segments of a video: starts and ends of its windows (W, 2), scores (W, K)."""
    rows = [
        (start, end, label, score)
        for label in np.flatnonzero(scores.max(axis=0) >= LEAST_SCORE).tolist()
        for start, end, score in _class_segments(times, scores[:, label])
    ]
    rows = sorted(rows, key=lambda row: -row[-1])[:MOST_SEGMENTS]
    found = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Segments(
        np.full(len(rows), video, dtype=np.int64),
        found[:, :2],
        found[:, 2].astype(np.int64),
        found[:, 3],
    )


def suppress(
    spans: NDArray[np.float64], scores: NDArray[np.float64], *, most_overlap: float = MOST_OVERLAP
) -> NDArray[np.int64]:
    """Return which of the spans (S, 2) are kept, best first."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[span_overlap(spans[best], spans[order]) < most_overlap]
    return np.array(kept, dtype=np.int64)


def span_overlap(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return intersection over union of spans (..., 2) and (..., 2), broadcast: (...)."""
    shared = np.minimum(one[..., 1], others[..., 1]) - np.maximum(one[..., 0], others[..., 0])
    shared = np.clip(shared, 0, None)
    both = (one[..., 1] - one[..., 0]) + (others[..., 1] - others[..., 0])
    return shared / (both - shared)


def _class_segments(
    times: NDArray[np.float64], scores: NDArray[np.float64]
) -> Iterator[tuple[float, float, float]]:
    runs = sorted({run for level in LEVELS for run in _runs(scores >= level * scores.max())})
    spans = np.array([(times[first, 0], times[stop - 1, 1]) for first, stop in runs])
    values = np.array([_contrast(scores, first, stop) for first, stop in runs])
    for row in suppress(spans, values).tolist():
        if values[row] > 0:
            yield float(spans[row, 0]), float(spans[row, 1]), float(values[row])


def _runs(is_above: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield first and behind the last of each run of windows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_above, [False]]))).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def _contrast(scores: NDArray[np.float64], first: int, stop: int) -> float:
    """Return by how much the mean inside is above the mean next to it; nothing counts as 0."""
    border = max(round(_BORDER * (stop - first)), 1)
    beside = np.concatenate([scores[max(first - border, 0) : first], scores[stop : stop + border]])
    return float(scores[first:stop].mean() - (beside.mean() if len(beside) else 0.0))
