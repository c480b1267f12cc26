"""Turn the results of `tools/accuracy.py` into a page with tables and plots.

python tools/write_accuracy.py docs/results/accuracy.jsonl docs/results/accuracy.md --scene middle
"""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from accuracy_rows import DENSE, ROWS
from matplotlib.figure import Figure
from moving_garments import SCENES
from result_lines import read_results
from result_page import page_parser

from stvit_video.files import write_file
from stvit_video.report.page import Picture, Section, markdown_page
from stvit_video.report.plot_labels import label_points
from stvit_video.report.plot_look import (
    COLOURS,
    MARKERS,
    Axes,
    finish_picture,
    paint_axes,
    set_axis,
)
from stvit_video.report.plots import line_plot
from stvit_video.report.tables import Cell, Column, Table, make_table

_GROUPS = {
    "main": "Equal multiply-adds",
    "variants": "Where, how many and how tokens are clustered",
    "divided": "TimeSformer: divided attention",
}
_FIGURES = ("garment", "motion", "both")


class Trained(NamedTuple):
    """One row, trained for some steps: a line of the file for each seed."""

    name: str
    lines: list[dict[str, Any]]

    def test(self, index: int) -> list[float]:
        """Return one figure of the test, in %, seed by seed."""
        return [line["test"][index] for line in self.lines]

    @property
    def seeds(self) -> dict[int, float]:
        """Share of test clips whose garment and motion are right, in %, by seed."""
        return {line["seed"]: line["test"][2] for line in self.lines}


def main() -> None:
    """Read the file, write the page and its plots."""
    parser = page_parser(__doc__, "accuracy.py")
    parser.add_argument("--scene", choices=tuple(SCENES), default="middle")
    options = parser.parse_args()
    lines = read_results(options.results)
    own = [line for line in lines if line.get("scene") == options.scene]
    tested = [line for line in own if line["test"] and not line.get("excluded")]
    excluded = [line for line in own if line.get("excluded")]
    speeds = {line["speed_of"]: line for line in lines if "speed_of" in line}
    if not tested:
        raise SystemExit(f"{options.results} holds no tested row of scene {options.scene}")
    sections = [introduction(tested, excluded, options.scene)]
    for steps in sorted({line["steps"] for line in tested}, reverse=True):
        sections.append(section_of(by_row(tested, steps), speeds, steps))
    for picture in (picture for section in sections for picture in section.pictures):
        write_file(options.page.parent / picture.name, picture.content)
    write_file(
        options.page, markdown_page("Accuracy on moving garments", sections, is_markdown=True)
    )


def introduction(
    tested: Sequence[dict[str, Any]], excluded: Sequence[dict[str, Any]], scene: str
) -> Section:
    """Say what was done."""
    told = SCENES[scene]
    where = "; ".join(sorted({line["where"] for line in tested}))
    first = tested[0]
    failed = "".join(
        f" A training of `{line['row']}` is left out and was run again: {line['excluded']}."
        for line in excluded
    )
    return Section(
        title="What was measured",
        text=(
            "Written by `tools/write_accuracy.py`; do not edit. Fashion-MNIST garments move over"
            " drifting clutter with a distractor (`tools/moving_garments.py`); label = garment (10)"
            f" x direction (4) x speed (2). Scene `{scene}`: {told.speeds[0]} or {told.speeds[1]}"
            f" pixels a frame, clutter of brightness {told.clutter[0]} to {told.clutter[1]} that"
            f" drifts up to {told.drift} pixels a frame. 8 frames of 64 x 64 pixels, 256 tokens of"
            " width 192, 8 blocks; all rows have the same clips a seed, batches of"
            f" {first['batch_size']}, AdamW, highest learning rate {first['lr']}, half a cosine,"
            " label smoothing 0.1, bf16. Tests show one clip of each of the 10,000 test garments,"
            " once, after the last step; every choice was made on 5,000 garments split off the"
            " training set. `±` is the standard deviation over seeds; the standard error of one"
            f" test is at most 0.5 points.{failed} {where}."
        ),
    )


def by_row(tested: Sequence[dict[str, Any]], steps: int) -> dict[str, Trained]:
    """Sort the lines of as many steps by row, in the order of the rows."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in tested:
        if line["steps"] == steps:
            found[line["row"]].append(line)
    return {
        name: Trained(name, sorted(found[name], key=lambda line: line["seed"]))
        for name in ROWS
        if name in found
    }


def section_of(rows: dict[str, Trained], speeds: dict[str, dict[str, Any]], steps: int) -> Section:
    """Lay out what was trained for some steps: a table a group, and plots."""
    tables = []
    for group, title in _GROUPS.items():
        chosen = [rows[name] for name in rows if ROWS[name].group == group]
        dense = rows.get(f"divided {DENSE.name}" if group == "divided" else DENSE.name)
        if chosen and dense:
            tables.append(accuracy_table(chosen, dense, speeds, title))
    tuned = [rows[name] for name in rows if ROWS[name].tuned]
    if tuned and DENSE.name in rows:
        tables.append(tuning_table(tuned, rows))
    joint = [rows[name] for name in rows if ROWS[name].group in ("main", "variants")]
    pictures = (draw_costs(joint, speeds, steps), draw_curves(rows, steps)) if joint else ()
    return Section(title=f"After {steps} steps", tables=tuple(tables), pictures=pictures)


def accuracy_table(
    rows: Sequence[Trained], dense: Trained, speeds: dict[str, dict[str, Any]], title: str
) -> Table:
    """Cost and accuracy of each row, beside the dense one."""
    cells: list[list[Cell]] = []
    for row in rows:
        macs = row.lines[0]["macs"]
        speed = speeds.get(row.name)
        cells.append(
            [
                f"`{row.name}`",
                macs / 1e6,
                100 * (macs / dense.lines[0]["macs"] - 1),
                speed and speed["clips_per_second"],
                speed and speed["ratio"] / speeds[dense.name]["ratio"],
                *[statistics.mean(row.test(index)) for index in range(3)],
                spread(row.test(2)),
                difference(row, dense),
                len(row.lines),
            ]
        )
    columns = [
        "row",
        Column(title="MMACs", format=".0f"),
        Column(title="MACs %", format="+.0f"),
        Column(title="clips/s", format=".0f"),
        Column(title="speed", format=".2f"),
        *[Column(title=name, format=".1f") for name in _FIGURES],
        Column(title="±", format=".1f"),
        Column(title="to dense", format="+.1f"),
        "seeds",
    ]
    note = (
        f"`to dense` is the mean difference to `{dense.name}` of the same seeds, in points;"
        f" `speed` is measured, relative to `{dense.name}`, alone on the GPU."
    )
    return make_table(title, columns, cells, note=note)


def tuning_table(rows: Sequence[Trained], all_rows: dict[str, Trained]) -> Table:
    """What a trained dense model loses: without training, with a tenth, and from scratch."""
    dense = all_rows[DENSE.name]
    cells: list[list[Cell]] = []
    for row in rows:
        scratch = all_rows.get(row.name.removesuffix(", from dense"))
        untrained = [line["untrained"][2] - dense.seeds[line["seed"]] for line in row.lines]
        macs = row.lines[0]["macs"]
        cells.append(
            [
                f"`{ROWS[row.name].setting}`",
                100 * (macs / dense.lines[0]["macs"] - 1),
                statistics.mean(untrained),
                difference(row, dense),
                spread(row.test(2)),
                scratch and difference(scratch, dense),
                len(row.lines),
            ]
        )
    columns = [
        "setting",
        Column(title="MACs %", format="+.0f"),
        Column(title="untrained", format="+.1f"),
        Column(title="a tenth", format="+.1f"),
        Column(title="±", format=".1f"),
        Column(title="from scratch", format="+.1f"),
        "seeds",
    ]
    note = (
        f"Points to the dense model of the same seed ({statistics.mean(dense.test(2)):.1f} %);"
        f" `a tenth` are {rows[0].lines[0]['own_steps']} further steps."
    )
    return make_table("From the weights of the dense model", columns, cells, note=note)


def spread(figures: Sequence[float]) -> float | None:
    """Return the standard deviation over seeds, of more than one."""
    return statistics.stdev(figures) if len(figures) > 1 else None


def difference(row: Trained, dense: Trained) -> float | None:
    """Return the mean difference to the dense row, of the seeds that both have."""
    shared = row.seeds.keys() & dense.seeds.keys()
    pairs = [row.seeds[seed] - dense.seeds[seed] for seed in shared]
    return statistics.mean(pairs) if pairs else None


def draw_curves(rows: dict[str, Trained], steps: int) -> Picture:
    """Draw validation accuracy over steps, mean over seeds, of the main rows."""
    series = {}
    for name, row in rows.items():
        if ROWS[name].group == "main":
            curves = [[(point[0], point[3]) for point in line["curve"]] for line in row.lines]
            series[name] = [
                (points[0][0], statistics.mean(point[1] for point in points))
                for points in zip(*curves, strict=True)
            ]
    axes = Axes(x="steps", y="validation clips with garment and motion right, %", y_better="higher")
    return line_plot(
        f"accuracy_curves_{steps}.png", f"Learning curves of {steps} steps", series, axes
    )


def draw_costs(rows: Sequence[Trained], speeds: dict[str, dict[str, Any]], steps: int) -> Picture:
    """Draw accuracy over multiply-adds, and over measured speed."""
    figure = Figure(figsize=(9, 10), layout="constrained")
    panels = figure.subplots(2, 1)
    costs = {row.name: row.lines[0]["macs"] / 1e6 for row in rows}
    fast = {name: speeds[name]["clips_per_second"] for name in costs if name in speeds}
    for axis, known, x, better in (
        (panels[0], costs, "multiply-adds of a clip, millions", "lower"),
        (panels[1], fast, "clips a second, measured", "higher"),
    ):
        axes = Axes(x=x, y="garment and motion right, %", x_better=better, y_better="higher")
        _draw_panel(axis, [row for row in rows if row.name in known], known, axes)
    for axis, known in zip(panels, (costs, fast), strict=True):
        points = {
            row.name: (known[row.name], statistics.mean(row.test(2)))
            for row in rows
            if row.name in known
        }
        label_points(figure, axis, points, font=6.5)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    cells: list[list[Cell]] = [
        [
            row.name,
            statistics.mean(row.test(2)),
            spread(row.test(2)),
            costs[row.name],
            fast.get(row.name),
        ]
        for row in rows
    ]
    caption = f"Accuracy over multiply-adds and over measured speed, after {steps} steps"
    columns = ["row", "right, %", "±", "MMACs", "clips/s"]
    told = "; ".join(
        f"{name}: {right:.1f} %, {macs:.0f} MMACs" for name, right, _, macs, _ in cells
    )
    numbers = make_table(caption, columns, cells)
    return finish_picture(
        f"accuracy_costs_{steps}.png", caption, figure, told=told, numbers=numbers
    )


def _draw_panel(axis: Any, rows: Sequence[Trained], xs: dict[str, float], axes: Axes) -> None:
    """Draw rows as points with their spread: one colour a method, far centres as a star."""
    paint_axes(axis)
    families = list(dict.fromkeys(_method(ROWS[name].family) for name in ROWS))
    drawn = set()
    edges: list[float] = []
    for row in rows:
        family, figures = _method(ROWS[row.name].family), row.test(2)
        number = families.index(family) % len(COLOURS)
        middle, error = statistics.mean(figures), spread(figures) or 0.0
        axis.errorbar(
            *(xs[row.name], middle, error),
            fmt="*" if "far" in ROWS[row.name].family else MARKERS[number],
            markersize=8 if ROWS[row.name].group == "main" else 5,
            color=COLOURS[number],
            label=None if family in drawn else family,
        )
        drawn.add(family)
        edges += [middle - error, middle + error]
    set_axis(axis, "x", axes, list(xs.values()))
    set_axis(axis, "y", axes, edges)


def _method(family: str) -> str:
    """Join families that are one method, so that there are as many as colours."""
    if family.startswith("semantic"):
        return "semantic tokens (star: far centres)"
    return "dense" if "dense" in family else family


if __name__ == "__main__":
    main()
