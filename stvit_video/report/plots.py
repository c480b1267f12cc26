"""Plots as picture files in memory: points, lines and stacked bars, one look for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from stvit_video.report.page import Picture
from stvit_video.report.plot_labels import label_ends, label_points
from stvit_video.report.plot_look import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
    PAPER,
    Axes,
    begin_plot,
    finish_picture,
    plain_number,
    plot_words,
    set_axis,
)
from stvit_video.report.tables import Column, make_table

OTHER = "other"
"""What the smallest parts of bars are joined as, where there are more than colours."""


def point_plot(
    name: str,
    caption: str,
    points: Mapping[str, tuple[float, float]],
    axes: Axes,
    *,
    groups: Mapping[str, str] | None = None,
) -> Picture:
    """Draw one point (x, y) for each name, its name beside it.

    Points of a group have one colour and marker, which a legend tells; without groups all are
    alike.
    """
    figure, drawn = begin_plot(height=0.16 * len(points) + 4)
    kinds = list(dict.fromkeys((groups or {}).values()))
    for label, (x, y) in points.items():
        number = kinds.index(groups[label]) if groups else 0
        drawn.plot(
            [x], [y], MARKERS[number % 8], color=COLOURS[number % 8], markersize=7, clip_on=False
        )
    set_axis(drawn, "x", axes, [x for x, _ in points.values()])
    set_axis(drawn, "y", axes, [y for _, y in points.values()])
    for number, kind in enumerate(kinds):
        look = {"marker": MARKERS[number % 8], "color": COLOURS[number % 8], "linestyle": ""}
        drawn.plot([], [], label=plot_words(kind), **look)
    if groups:
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    label_points(figure, drawn, points)
    columns: list[Column | str] = ["", Column(title=axes.x), Column(title=axes.y)]
    told = "; ".join(
        f"{label}: {axes.x} {plain_number(x)}, {axes.y} {plain_number(y)}"
        for label, (x, y) in points.items()
    )
    numbers = make_table(caption, columns, [[label, x, y] for label, (x, y) in points.items()])
    return finish_picture(name, caption, figure, told=told, numbers=numbers)


def line_plot(
    name: str, caption: str, series: Mapping[str, Sequence[tuple[float, float]]], axes: Axes
) -> Picture:
    """Draw one line through points (x, y) for each name, if it has any, the name at its end."""
    series = {label: points for label, points in series.items() if points}
    figure, drawn = begin_plot(height=max(4.0, 0.2 * len(series) + 1.2))
    for number, points in enumerate(series.values()):
        xs, ys = zip(*points, strict=True)
        look = {"color": COLOURS[number % 7], "linestyle": DASHES[number // 7 % len(DASHES)]}
        drawn.plot(xs, ys, marker=MARKERS[number % 8], markersize=4, **look)
    set_axis(drawn, "x", axes, [x for points in series.values() for x, _ in points])
    set_axis(drawn, "y", axes, [y for points in series.values() for _, y in points])
    label_ends(figure, drawn, series)
    told = "; ".join(
        f"{label}: {axes.y} {plain_number(points[0][1])} at {axes.x} {plain_number(points[0][0])}"
        + (f", {plain_number(points[-1][1])} at {plain_number(points[-1][0])}" * (len(points) > 1))
        for label, points in series.items()
    )
    places = sorted({x for points in series.values() for x, _ in points})
    rows = [[label, *map(dict(points).get, places)] for label, points in series.items()]
    columns = [f"{axes.y} at {axes.x}", *map(plain_number, places)]
    numbers = make_table(caption, columns, rows)
    return finish_picture(name, caption, figure, told=told, numbers=numbers)


def stacked_bars(
    name: str,
    caption: str,
    bars: Mapping[str, Mapping[str, float]],
    axis: str,
    *,
    colours: Mapping[str, str] | None = None,
) -> Picture:
    """Draw one horizontal bar for each name, of parts in their order, the whole at its end.

    A part has one colour in all bars: that of `colours`, or the next one that is free. Where there
    are more parts than colours, the smallest are joined as `other`.
    """
    whole = {label: sum(parts.values()) for label, parts in bars.items()}
    joined = _join_smallest(bars)
    figure, drawn = begin_plot(height=0.36 * len(bars) + 1.5)
    labels = list(bars)[::-1]
    left = [0.0] * len(labels)
    for part, colour in _part_colours(joined, colours or {}).items():
        widths = [joined[label].get(part, 0.0) for label in labels]
        look = {"color": colour, "edgecolor": PAPER, "linewidth": 0.6, "height": 0.7}
        drawn.barh(range(len(labels)), widths, left=left, label=plot_words(part), **look)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, label in enumerate(labels):
        text = f" {plain_number(whole[label])}"
        drawn.text(whole[label], place, text, va="center", fontsize=8, color=INK)
    drawn.set_yticks(range(len(labels)), [plot_words(label) for label in labels])
    set_axis(drawn, "x", Axes(x=axis, y="", x_better="lower"), [0, *(1.08 * w for w in left)])
    drawn.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    told = "; ".join(
        f"{label}: {axis} {plain_number(whole[label])}, of it "
        + ", ".join(f"{part} {plain_number(value)}" for part, value in parts.items() if value)
        for label, parts in joined.items()
    )
    names = list(dict.fromkeys(part for parts in bars.values() for part in parts))
    rows = [[label, whole[label], *map(parts.get, names)] for label, parts in bars.items()]
    numbers = make_table(caption, ["", Column(title=axis), *names], rows)
    return finish_picture(name, caption, figure, told=told, numbers=numbers)


def _join_smallest(bars: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    sums: dict[str, float] = {}
    for parts in bars.values():
        for part, value in parts.items():
            sums[part] = sums.get(part, 0.0) + value
    kept = set(sums)
    if len(kept) > len(COLOURS):
        kept = set(sorted(kept - {OTHER}, key=lambda part: -sums[part])[: len(COLOURS) - 1])
    found: dict[str, dict[str, float]] = {}
    for label, parts in bars.items():
        own = found.setdefault(label, {})
        for part, value in parts.items():
            place = part if part in kept else OTHER
            own[place] = own.get(place, 0.0) + value
    return found


def _part_colours(
    bars: Mapping[str, Mapping[str, float]], fixed: Mapping[str, str]
) -> dict[str, str]:
    names = list(dict.fromkeys(part for parts in bars.values() for part in parts))
    names.sort(key=lambda part: part == OTHER)
    taken = {fixed[part] for part in names if part in fixed}
    free: Any = iter([colour for colour in COLOURS if colour not in taken])
    return {part: fixed[part] if part in fixed else next(free) for part in names}
