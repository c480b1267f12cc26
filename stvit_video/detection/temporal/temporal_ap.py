"""mAP of segments: the measure of ActivityNet and THUMOS.

Segments of a class are taken by score. Each is right where one of the annotated ones of its video,
which no better one took, overlaps enough; of several it takes the one that overlaps most.

Legend: O overlaps that are asked for, K classes, G videos, P found and M annotated segments of a
class in a video, as many as any video has.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stvit_video.detection.average_precision import average_precision
from stvit_video.detection.temporal.annotations import Segments
from stvit_video.detection.temporal.find import span_overlap


def temporal_average_precision(
    found: Segments, truth: Segments, *, num_classes: int, overlaps: Sequence[float]
) -> NDArray[np.float64]:
    """Return the average precision (O, K) at each temporal IoU; nan of classes without a truth."""
    result = np.full((len(overlaps), num_classes), np.nan)
    for label in np.unique(truth.label).tolist():
        own = found.pick(found.label == label)
        own = own.pick(np.argsort(-own.score, kind="stable"))
        actual = truth.pick(truth.label == label)
        is_right = _match(own, actual, np.array(overlaps))
        result[:, label] = [average_precision(row, len(actual.video)) for row in is_right]
    return result


def _match(found: Segments, truth: Segments, overlaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which segments, best first, are right at each overlap: (O, segments)."""
    is_right = np.zeros((len(overlaps), len(found.video)), dtype=bool)
    videos = np.intersect1d(found.video, truth.video)
    if not len(videos):
        return is_right
    own, is_own = _by_video(found.video, videos)  # (G, P)
    actual, is_actual = _by_video(truth.video, videos)  # (G, M)
    shared = span_overlap(found.span[own][:, :, None], truth.span[actual][:, None])  # (G, P, M)
    shared[~(is_own[:, :, None] & is_actual[:, None])] = -1
    free = np.ones((len(overlaps), *actual.shape), dtype=bool)  # (O, G, M)
    for place in range(own.shape[1]):
        left = np.where(free, shared[:, place], -1)  # (O, G, M)
        best = left.argmax(axis=2)[..., None]
        takes = np.take_along_axis(left, best, axis=2) >= overlaps[:, None, None]
        np.put_along_axis(free, best, np.take_along_axis(free, best, axis=2) & ~takes, axis=2)
        rows = is_own[:, place]
        is_right[:, own[rows, place]] = takes[:, rows, 0]
    return is_right


def _by_video(
    video: NDArray[np.int64], videos: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows of each of `videos`, in their order, (G, most), and which there are."""
    order = np.argsort(video, kind="stable")
    first = np.searchsorted(video[order], videos)
    count = np.searchsorted(video[order], videos, side="right") - first
    places = np.arange(count.max())
    is_there = places < count[:, None]
    return order[np.where(is_there, first[:, None] + places, first[:, None])], is_there
