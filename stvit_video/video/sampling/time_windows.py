"""Stretches of time of a long video, one after the other, and the frames that each shows.

Legend: N frames of the video.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TimeWindow(NamedTuple):
    """A stretch of a video, in seconds from its first frame."""

    start: float
    end: float
    """Not in it any more."""


def spread_windows(duration: float, *, window: float, stride: float) -> Iterator[TimeWindow]:
    """Yield the windows of a video of `duration` seconds: one every `stride`, each `window` long.

    One more ends with the video where those leave something out behind them. A video that is
    shorter than the window is one.
    """
    if duration <= window:
        yield TimeWindow(0.0, duration)
        return
    slack = 1e-6 * window  # of sums of seconds
    last = int((duration - window) // stride)
    for number in range(last + 1):
        yield TimeWindow(number * stride, number * stride + window)
    if last * stride + window < duration - slack:
        yield TimeWindow(duration - window, duration)


def frames_within(times: NDArray[np.float64], window: TimeWindow) -> range:
    """Return the frames of a video that begin in the window, by the seconds (N,) of each.

    Where none does, it is the one that is shown at its start.
    """
    slack = 1e-6  # seconds: less than any two frames are apart
    first, stop = (int(np.searchsorted(times, at - slack)) for at in window)
    if stop > first:
        return range(first, stop)
    shown = max(first - 1, 0)
    return range(shown, shown + 1)
