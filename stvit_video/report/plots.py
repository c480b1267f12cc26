"""Plots as picture files in memory: points, lines and stacked bars, one look for all of them."""

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from stvit_video.report.page import Picture
from stvit_video.visible import visible


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What the axes of a plot say."""

    x: str
    y: str
    log_x: bool = False
    log_y: bool = False


def point_plot(
    name: str, caption: str, points: Mapping[str, tuple[float, float]], axes: Axes
) -> Picture:
    """Draw one labelled point (x, y) for each name."""
    figure, drawn = _begin(axes, height=0.32 * len(points) + 3)
    for number, (label, (x, y)) in enumerate(points.items()):
        drawn.plot(
            [x], [y], _MARKERS[number % len(_MARKERS)], markersize=8, label=plot_words(label)
        )
    return _finish(name, caption, figure)


def line_plot(
    name: str, caption: str, series: Mapping[str, Sequence[tuple[float, float]]], axes: Axes
) -> Picture:
    """Draw one line through points (x, y) for each name; a line of one point shows as a dot."""
    figure, drawn = _begin(axes, height=0.2 * len(series) + 3.5)
    for number, (label, points) in enumerate(series.items()):
        xs, ys = [x for x, _ in points], [y for _, y in points]
        drawn.plot(
            xs, ys, _MARKERS[number % len(_MARKERS)] + "-", markersize=5, label=plot_words(label)
        )
    return _finish(name, caption, figure)


def stacked_bars(
    name: str, caption: str, bars: Mapping[str, Mapping[str, float]], axis: str
) -> Picture:
    """Draw one horizontal bar for each name, of parts in their order."""
    figure, drawn = _begin(Axes(x=axis, y=""), height=0.5 * len(bars) + 2.5)
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    colours = [mpl.colormaps["tab20"](number) for number in range(20)]
    labels = list(bars)[::-1]
    names = [plot_words(label) for label in labels]
    left = [0.0] * len(labels)
    for part, colour in zip(parts, itertools.cycle(colours), strict=False):
        widths = [bars[label].get(part, 0.0) for label in labels]
        drawn.barh(names, widths, left=left, label=plot_words(part), height=0.6, color=colour)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    return _finish(name, caption, figure)


_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
"""One fewer than colours, so that the two together repeat late."""


def _begin(axes: Axes, *, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, min(height, 9)), layout="constrained")
    drawn = figure.add_subplot()
    drawn.set_xlabel(plot_words(axes.x))
    drawn.set_ylabel(plot_words(axes.y))
    if axes.log_x:
        drawn.set_xscale("log")
    if axes.log_y:
        drawn.set_yscale("log")
    drawn.grid(visible=True, alpha=0.3)
    drawn.spines[["top", "right"]].set_visible(False)
    return figure, drawn


def plot_words(text: str) -> str:
    """Write words so that a plot shows them as they are: `$` begins no formula, `_` hides none."""
    shown = visible(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _finish(name: str, caption: str, figure: Figure) -> Picture:
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    stream = io.BytesIO()
    kind = Path(name).suffix[1:]
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(stream, format=kind, dpi=110, metadata=metadata)
    return Picture(name=name, content=stream.getvalue(), caption=caption)
