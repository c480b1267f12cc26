"""Draw scores over time: frames of the video, above the classes that it shows most.

Legend: F frames, H W pixels, C colours, W windows, K classes.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from stvit_video.report.plot_look import plot_words
from stvit_video.report.subtitles import clock
from stvit_video.visible import cut

_STRIP_SHAPE = 8.5
"""Width of the row of pictures, in heights of it."""
_MOST_CLASSES = 8
_MOST_OF_A_NAME = 32


def draw_timeline(
    title: str,
    *,
    frames: NDArray[np.uint8],
    times: Sequence[tuple[float, float]],
    scores: NDArray[np.float32],
    class_names: Sequence[str],
    unit: str,
) -> bytes:
    """Draw as a PNG: pictures (F, H, W, C) spread over the time, and scores (W, K) below.

    `times` are the stretches, in seconds, in which each window counts. Shown are the classes that
    are highest anywhere, in the order in which they first are. Colours are those of viridis, which
    differ for colour-blind eyes and in print; `unit` says what a score is.
    """
    chosen = _chosen(scores)
    rows = len(chosen)
    figure = Figure(figsize=(12, 1.6 + 0.34 * rows + 0.5), dpi=100, layout="constrained")
    above, below = figure.subplots(
        2, 1, gridspec_kw={"height_ratios": [1.0, max(0.34 * rows, 0.5)]}
    )
    above.imshow(np.concatenate(list(frames), axis=1), aspect="auto", interpolation="antialiased")
    above.set_axis_off()
    edges, cells = _cells(times, scores[:, chosen])
    drawn = below.pcolormesh(
        edges, np.arange(rows + 1), cells.T, cmap="viridis", vmin=min(scores.min(), 0)
    )
    names = [plot_words(cut(class_names[number], _MOST_OF_A_NAME)) for number in chosen]
    below.set_yticks(np.arange(rows) + 0.5, names, fontsize=9)
    below.invert_yaxis()
    below.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short_clock(value, edges[-1])))
    below.set_xlabel("time")
    figure.colorbar(drawn, ax=below, label=unit, pad=0.01)
    figure.suptitle(plot_words(cut(title, 100)), fontsize=10)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def num_pictures(width: int, height: int) -> int:
    """Return how many pictures of a size fill the strip without being squeezed."""
    return max(round(_STRIP_SHAPE * height / width), 3)


def _cells(
    times: Sequence[tuple[float, float]], scores: NDArray[np.float32]
) -> tuple[list[float], NDArray[np.float32]]:
    """Lay scores (W, k) along time: edges, and a row between two of them; nan where none counts."""
    edges, rows = [times[0][0]], []
    for (start, end), own in zip(times, scores, strict=True):
        if start > edges[-1] + 1e-9:
            edges.append(start)
            rows.append(np.full_like(own, np.nan))
        edges.append(end)
        rows.append(own)
    return edges, np.stack(rows)


def _chosen(scores: NDArray[np.float32]) -> list[int]:
    """Return the classes to show: those that are the best of most windows, then the highest."""
    best = scores.argmax(axis=1)  # (W,)
    wins = np.bincount(best, minlength=scores.shape[1])
    ranked = np.lexsort((-scores.max(axis=0), -wins))[:_MOST_CLASSES]
    first = {int(number): place for place, number in reversed(list(enumerate(best)))}
    return sorted((int(number) for number in ranked), key=lambda n: first.get(n, len(best)))


def _short_clock(seconds: float, end: float) -> str:
    """Write a time without the parts that a short video does not need."""
    words = clock(max(seconds, 0.0))
    if end < 60:
        return f"{seconds:g} s"
    return words[:8] if end >= 3600 else words[3:8]
