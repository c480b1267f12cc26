"""The page that tools/training_free.py writes: tables, and accuracy over multiply-adds."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stvit_video.files import write_file
from stvit_video.report.plot_look import COLOURS, MARKERS, paint_axes
from stvit_video.report.tables import Column, make_table, markdown_text

Results = dict[str, dict[str, dict[int, dict[str, object]]]]
"""Setting -> what was trained -> seed -> what was measured."""

ORDER = [
    *("joint, mean", "joint, class token", "demo", "divided", "factorised encoder"),
    *("rotary", "rotary, attended places"),
]
"""In which the backbones are told."""

_FAMILIES = {
    "grid centres": ("4x", "2x"),
    "tome": ("tome",),
    "random drop": ("random",),
    "average pooling": ("average",),
    "dpcknn": ("dpcknn",),
    "evit": ("evit",),
    "rlt": ("rlt",),
}


def write_results(raw: Path, output: Path) -> None:
    """Write training_free.md and training_free.png."""
    jobs = read(raw)
    by_backbone = join(jobs)
    parts = [_HEAD]
    for backbone, results in by_backbone.items():
        where = {job["where"] for job in jobs if job["backbone"] == backbone}
        table = table_of(backbone, results, "; ".join(sorted(where)))
        parts += [f"## Without training: {backbone}\n", markdown_text(table, is_markdown=True)]
    if any("from scratch" in one for results in by_backbone.values() for one in results.values()):
        parts += ["## With training\n", markdown_text(trained_table(by_backbone), is_markdown=True)]
    write_file(output / "training_free.md", "\n".join(parts))
    plot(by_backbone, output / "training_free.png")


def read(raw: Path) -> list[dict[str, Any]]:
    """Read all jobs, one a line, in the order of the page."""
    lines = [line for path in sorted(raw.glob("*.json")) for line in path.read_text().splitlines()]
    return sorted(map(json.loads, lines), key=lambda job: ORDER.index(job["backbone"]))


def join(jobs: list[dict[str, Any]]) -> dict[str, Results]:
    """Sort what was measured by backbone, setting, training and seed."""
    found: dict[str, Results] = {}
    for job in jobs:
        of_backbone = found.setdefault(job["backbone"], defaultdict(lambda: defaultdict(dict)))
        for setting, measured in job["results"].items():
            of_backbone[setting][job["how"]][job["seed"]] = measured
    return found


def rights(measured: dict[int, dict[str, object]]) -> np.ndarray:
    """Which clips are answered right: (seeds, clips) of 0 and 1."""
    return np.array([[int(x) for x in str(measured[seed]["right"])] for seed in sorted(measured)])


def compare(results: Results, setting: str, how: str) -> list[float]:
    """Multiply-adds in millions, top-1, difference to dense and its error, spread over seeds.

    The error is that of the mean over clips of paired differences, which are means over seeds.
    """
    dense, measured = results["dense"]["no training"], results[setting][how]
    own, wanted = rights(measured), rights({seed: dense[seed] for seed in measured})
    difference = (own - wanted).mean(axis=0)
    error = difference.std(ddof=1) / len(difference) ** 0.5
    spread = statistics.stdev(own.mean(axis=1)) if len(own) > 1 else 0.0
    macs = float(next(iter(measured.values()))["macs"]) / 1e6  # type: ignore[arg-type]
    return [macs, *(100 * float(x) for x in (own.mean(), difference.mean(), error, spread))]


def table_of(backbone: str, results: Results, where: str) -> object:
    """All settings of a backbone without training, by what they are and what they cost."""
    rows = []
    dense = compare(results, "dense", "no training")
    for setting in results:
        if "no training" in results[setting]:
            macs, *figures = compare(results, setting, "no training")
            saved = 100 * (macs / dense[0] - 1)
            rows.append([family(setting), f"`{setting}`", macs, saved, *figures])
    rows.sort(key=lambda row: (row[0] != "dense", row[0], -row[2]))
    seeds = len(results["dense"]["no training"])
    columns: list[Column | str] = [
        "method",
        "setting",
        Column(title="MMACs", format=".1f"),
        Column(title="MACs %", format="+.0f"),
        Column(title="top-1", format=".1f"),
        Column(title="to dense", format="+.1f"),
        Column(title="error", format=".1f"),
        Column(title="seeds", format=".1f"),
    ]
    note = (
        f"Means of {seeds} models; `seeds` is the standard deviation of top-1 over them. {where}."
    )
    return make_table(f"Without training: {backbone}", columns, rows, note=note)


def trained_table(by_backbone: dict[str, Results]) -> object:
    """Settings that were trained, beside the same without training."""
    rows = []
    for backbone, results in by_backbone.items():
        for setting in results:
            if "from scratch" not in results[setting]:
                continue
            figures = [
                part
                for how in ("no training", "a tenth", "from scratch")
                for part in compare(results, setting, how)[1:4:2]
            ]
            macs = compare(results, setting, "a tenth")[0]
            rows.append([backbone, f"`{setting}`", macs, *figures])
    columns: list[Column | str] = ["backbone", "setting", Column(title="MMACs", format=".1f")]
    for how in ("no training", "a tenth", "from scratch"):
        columns += [Column(title=how, format=".1f"), Column(title="error", format=".1f")]
    note = "Top-1; errors are those of the paired difference to the dense models."
    return make_table("With training", columns, rows, note=note)


def family(setting: str) -> str:
    """Name the method of a setting."""
    if setting == "dense":
        return "dense"
    if setting[0].isdigit() and ("centers=far" in setting or "x" not in setting.split("@")[0]):
        return "far centres"
    return next(name for name, heads in _FAMILIES.items() if setting.startswith(heads))


def plot(by_backbone: dict[str, Results], path: Path) -> None:
    """Draw what is lost over what is saved, a panel a backbone."""
    figure = Figure(figsize=(9.5, 6 if len(by_backbone) < 5 else 9), dpi=100, layout="constrained")
    panels = figure.subplots(-(-len(by_backbone) // 2), 2, squeeze=False, sharey=True).flatten()
    for axis in panels[len(by_backbone) :]:
        axis.set_axis_off()
    for axis, (backbone, results) in zip(panels, by_backbone.items(), strict=False):
        dense = compare(results, "dense", "no training")[0]
        points: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for setting in results:
            if setting != "dense" and "no training" in results[setting]:
                macs, _, difference, error, _ = compare(results, setting, "no training")
                points[family(setting)].append((100 * (macs / dense - 1), difference, error))
        for name in sorted(points):
            x, y, error_bars = zip(*sorted(points[name]), strict=True)
            is_ours = name == "far centres"
            axis.errorbar(
                *(x, y, error_bars),
                fmt=_MARKS[name],
                markersize=6 if is_ours else 4,
                color=_COLOURS[name],
                label=name,
                alpha=0.9,
            )
        axis.axhline(0, color="0.6", linewidth=0.8)
        paint_axes(axis)
        axis.set(title=backbone, xlabel="multiply-adds, % against dense", ylim=(-60, 4))
    panels[0].set_ylabel("top-1 to dense, points (higher is better)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=7)
    figure.savefig(path)


_NAMES = [
    *("far centres", "grid centres", "tome", "random drop"),
    *("average pooling", "dpcknn", "evit", "rlt"),
]
_COLOURS = dict(zip(_NAMES, (COLOURS[i] for i in (1, 0, 2, 6, 5, 3, 4, 7)), strict=True))
_MARKS = dict(zip(_NAMES, MARKERS, strict=True))

_HEAD = """# What clustering costs a trained model

Written by `tools/training_free.py`; do not edit.

Moving digits over clutter, 40 classes, 144 patch tokens, 7 blocks of width 64
(`tools/moving_digits.py`); test clips of other writers. No setting was chosen on them; that far
centres of frames and tubes cluster places was, after a first run. `to dense` is the mean paired
difference in points, `error` its standard error. Multiply-adds hold the choice of centres. `demo`
are encoded videos: dense models of `make demo` and its 400 test videos, two clips of each.

![Accuracy without training over multiply-adds](training_free.png)
"""
