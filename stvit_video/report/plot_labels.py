"""Names in plots, beside what they name: none covers another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from stvit_video.report.plot_look import INK, PAPER, plot_words

_DISTANCES = (7, 12, 20, 30, 42, 56, 72, 90, 110, 135, 160)
"""From a point to its name, in points of a printer; the first that is free is taken."""
_ANGLES = tuple(np.deg2rad([0, 180, 90, 270, 30, 150, 330, 210, 60, 120, 300, 240]))
_FONT = 8
_LEADER_FROM = 20
"""Distance from which a thin line leads from a name to its point."""


def label_points(
    figure: Figure, drawn: Any, points: Mapping[str, tuple[float, float]], *, font: float = _FONT
) -> list[Any]:
    """Write the name of each point beside it, in the axes, clear of points, bars and names."""
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    places = {label: drawn.transData.transform(point) for label, point in points.items()}
    taken = [
        Bbox.from_extents(*(place - 5 * scale), *(place + 5 * scale)) for place in places.values()
    ]
    taken += _error_bars(drawn)
    inside = drawn.get_window_extent()
    order = sorted(places, key=lambda label: -_crowd(places, label, 60 * scale))
    labels = []
    for label in order:
        text = drawn.annotate(
            plot_words(label),
            points[label],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=font,
            color=INK,
            ha="center",
            va="center",
            in_layout=False,
            arrowprops={"arrowstyle": "-", "color": "#7f7f7f", "linewidth": 0.7, "shrinkB": 4},
        )
        box = text.get_window_extent()
        distance, offset, own = _best_place(box, places[label], taken, inside, scale)
        text.set_position(tuple(offset))
        if distance < _LEADER_FROM:
            text.arrow_patch.set_visible(False)
        taken.append(own)
        labels.append(text)
    return labels


def _error_bars(drawn: Any) -> list[Bbox]:
    """Return what the error bars of axes cover, in pixels."""
    collections = [
        bars
        for container in drawn.containers
        if isinstance(container, ErrorbarContainer)
        for bars in container[2]
    ]
    ends = [drawn.transData.transform(line) for bars in collections for line in bars.get_segments()]
    return [Bbox([line.min(axis=0) - 1, line.max(axis=0) + 1]) for line in ends]


def _crowd(places: Mapping[str, Any], label: str, radius: float) -> int:
    return sum(bool(np.hypot(*(place - places[label])) < radius) for place in places.values())


def _best_place(
    box: Bbox, place: Any, taken: Sequence[Bbox], inside: Bbox, scale: float
) -> tuple[float, Any, Bbox]:
    """Find the nearest free place of a name: its distance, offset in points, box in pixels."""
    best = None
    for distance in _DISTANCES:
        for angle in _ANGLES:
            direction = np.array([np.cos(angle), np.sin(angle)])
            half = np.array([box.width, box.height]) / 2 * direction
            centre = place + direction * distance * scale + half
            low, high = centre - _half(box), centre + _half(box)
            own = Bbox.from_extents(*low, *high)
            cost = sum(_overlap(own, other) for other in taken) + _outside(own, inside)
            if best is None or cost < best[0]:
                best = (cost, distance, (centre - place) / scale, own)
            if cost == 0:
                return distance, (centre - place) / scale, own
    assert best is not None
    return best[1:]


def _half(box: Bbox) -> Any:
    return np.array([box.width, box.height]) / 2 + 1


def _overlap(one: Bbox, other: Bbox) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0.0) * max(height, 0.0)


def _outside(own: Bbox, inside: Bbox) -> float:
    return own.width * own.height - _overlap(own, inside)


def label_ends(
    figure: Figure,
    drawn: Any,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    font: float = _FONT,
) -> list[Any]:
    """Write the name of each line to the right of the axes, at the height of its end or near."""
    figure.draw_without_rendering()
    lines = [line for line in drawn.lines if line.get_transform() != drawn.transAxes]
    ends = [points[-1] for points in series.values()]
    to_axes = drawn.transData + drawn.transAxes.inverted()
    wanted = np.array([to_axes.transform(end)[1] for end in ends])
    height = drawn.get_window_extent().height
    step = 1.35 * font * figure.dpi / 72 / height
    labels = []
    for label, end, line, y in zip(series, ends, lines, spread_out(wanted, step), strict=False):
        labels.append(
            drawn.annotate(
                plot_words(label),
                end,
                xytext=(1.03, y),
                textcoords="axes fraction",
                fontsize=font,
                color=INK,
                va="center",
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": line.get_color(),
                    "linewidth": 0.8,
                    "relpos": (0, 0.5),
                },
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
            )
        )
    return labels


def spread_out(wanted: Any, step: float) -> list[float]:
    """Move heights (n,) apart by `step`, as little as needs be; their order stays, 0..1 is kept."""
    order = np.argsort(wanted, kind="stable")
    step = min(step, 1 / max(len(wanted) - 1, 1))
    placed: list[float] = []
    for number in order:
        placed.append(max(float(wanted[number]), placed[-1] + step if placed else 0.0))
    top = 1.0
    for place in range(len(placed) - 1, -1, -1):
        placed[place] = min(placed[place], top)
        top = placed[place] - step
    found = np.empty(len(placed))
    found[order] = placed
    return found.tolist()
