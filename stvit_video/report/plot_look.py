"""The look of plots: colours, axes of plain numbers, light and dark; a figure as a picture file."""

import dataclasses
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from stvit_video.report.page import Picture
from stvit_video.report.tables import Table
from stvit_video.visible import visible

INK, PAPER = "#1a1a1a", "#ffffff"
"""Words and axes, and what is behind them; an SVG swaps them for light on dark in a dark page."""
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f", "#f0e442"),
)
"""Of Okabe and Ito, "Color Universal Design" (2008), with grey for their black, which a dark page
would hide; the palest last."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":")

_DARK = """<style>@media (prefers-color-scheme: dark) {
[style*="fill: #1a1a1a"] { fill: #e8e8e8 !important; }
[style*="stroke: #1a1a1a"] { stroke: #e8e8e8 !important; }
[style*="fill: #ffffff"] { fill: #121212 !important; }
[style*="stroke: #ffffff"] { stroke: #121212 !important; }
}</style>
"""
_LEAST_FOR_LOG = 6
"""Largest over smallest value, from which an axis that may be logarithmic is."""
_LEAST_FROM_ZERO = 0.25
"""Range over largest value, from which an axis starts at zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What the axes of a plot say."""

    x: str
    y: str
    log_x: bool = False
    """Where the values differ much; the axis says so."""
    log_y: bool = False
    x_better: Literal["", "higher", "lower"] = ""
    y_better: Literal["", "higher", "lower"] = ""


def begin_plot(*, height: float, width: float = 8.5) -> tuple[Figure, Any]:
    """Make a figure, in inches, with one pair of axes."""
    figure = Figure(figsize=(width, min(height, 11)), layout="constrained", facecolor=PAPER)
    drawn = figure.add_subplot()
    paint_axes(drawn)
    return figure, drawn


def paint_axes(drawn: Any) -> None:
    """Give axes the ink, the paper and the grid of all plots."""
    drawn.set_facecolor(PAPER)
    drawn.tick_params(colors=INK, labelsize=9)
    drawn.grid(visible=True, color="#7f7f7f", alpha=0.25, linewidth=0.8)
    drawn.set_axisbelow(True)
    drawn.spines[["top", "right"]].set_visible(False)
    drawn.spines[["left", "bottom"]].set_color(INK)


def set_axis(drawn: Any, side: Literal["x", "y"], axes: Axes, values: Sequence[float]) -> None:
    """Set the range, the ticks and the words of one axis, so that all `values` are in it.

    It starts at zero, or says that it is logarithmic, or shows a break and where it starts.
    """
    words, better = (axes.x, axes.x_better) if side == "x" else (axes.y, axes.y_better)
    may_be_log = axes.log_x if side == "x" else axes.log_y
    low, high = min(values, default=0.0), max(values, default=0.0)
    axis = drawn.xaxis if side == "x" else drawn.yaxis
    set_limits = drawn.set_xlim if side == "x" else drawn.set_ylim
    told = [f"{better} is better"] if better else []
    if may_be_log and low > 0 and high / low >= _LEAST_FOR_LOG:
        (drawn.set_xscale if side == "x" else drawn.set_yscale)("log")
        edge = (high / low) ** 0.08
        set_limits(low / edge, high * edge)
        axis.set_major_locator(FixedLocator(log_ticks(low / edge, high * edge)))
        axis.set_minor_locator(NullLocator())
        told.insert(0, "log scale")
    else:
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
        room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        if low >= 0 and high - low >= _LEAST_FROM_ZERO * high:
            set_limits(0, high + room)
        else:
            set_limits(low - room, high + room)
            if low >= 0 or high < 0:
                mark_broken(drawn, side)
                told.insert(0, f"starts at {low - room:.3g}, not at 0")
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    gap = " " if side == "x" else "\n"
    label = plot_words(words) + (f"{gap}({', '.join(told)})" if told else "")
    axis.set_label_text(label, color=INK, fontsize=10)


def log_ticks(low: float, high: float) -> list[float]:
    """Choose round numbers in a range: a few, however wide or narrow it is."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [step * 10.0**p for p, step in itertools.product(powers, steps)]
        found = [value for value in found if low <= value <= high]
        if len(found) >= 4:
            break
    return found


def mark_broken(drawn: Any, side: Literal["x", "y"]) -> None:
    """Put two strokes across an axis, near its start."""
    place = ([0.015, 0.03], [0, 0]) if side == "x" else ([0, 0], [0.02, 0.04])
    marker = [(-0.5, -1), (0.5, 1)] if side == "x" else [(-1, -0.5), (1, 0.5)]
    drawn.plot(
        *place,
        transform=drawn.transAxes,
        marker=marker,
        markersize=9,
        linestyle="none",
        color=INK,
        clip_on=False,
    )


def plain_number(value: float) -> str:
    """Write a number without exponent: `1,568`, `140`, `0.0025`."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value == 0 or abs(value) >= 1e-3:
        return f"{value:.4g}"
    return f"{value:.9f}".rstrip("0")


def plot_words(text: str) -> str:
    """Write words so that a plot shows them as they are: `$` begins no formula, `_` hides none."""
    shown = visible(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def finish_picture(
    name: str, caption: str, figure: Figure, *, told: str, numbers: Table | None
) -> Picture:
    """Write a figure as the file that `name` ends in; its text is the caption and what is `told`.

    An SVG turns dark in a dark page; a PNG stays on white.
    """
    for legend in figure.legends:
        for text in legend.get_texts():
            text.set_color(INK)
    stream = io.BytesIO()
    kind = Path(name).suffix[1:]
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(stream, format=kind, dpi=110, metadata=metadata)
    content = stream.getvalue()
    if kind == "svg":
        content = content.replace(b"<defs>", _DARK.encode() + b"<defs>", 1)
    if numbers is not None:
        numbers = _rounded(numbers)
    alt = f"{caption}. {told}." if told else caption
    return Picture(name=name, content=content, caption=caption, alt=alt, numbers=numbers)


def _rounded(table: Table) -> Table:
    """Give each column of numbers as many digits as its largest one wants."""
    columns = []
    for index, column in enumerate(table.columns):
        cells = [abs(row[index]) for row in table.rows if isinstance(row[index], int | float)]  # type: ignore[arg-type]
        largest = max(cells, default=0)
        digits = 1 if largest >= 1000 else 2 if largest >= 10 else 4
        kind = "," if all(isinstance(cell, int) for cell in cells) else f",.{digits}f"
        columns.append(dataclasses.replace(column, format=kind))
    return dataclasses.replace(table, columns=tuple(columns))
