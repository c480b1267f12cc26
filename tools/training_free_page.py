"""The page that tools/training_free.py writes: tables, and accuracy over multiply-adds."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from result_lines import read_results

from stvit_video.files import write_file
from stvit_video.report.plot_look import COLOURS, INK, MARKERS, paint_axes
from stvit_video.report.tables import Column, Table, make_table, markdown_text

Jobs = dict[str, dict[str, dict[int, dict[str, object]]]]
"""Setting -> what was trained -> seed -> what was measured."""
Lines = dict[tuple[str, str], dict[str, Any]]
"""(setting, what was trained) -> the line of the file of results."""

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
    """Write training_free.jsonl, a line for each backbone, setting and training, and the page."""
    lines = summarize(read(raw))
    write_file(output / "training_free.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_page(output)


def write_page(output: Path) -> None:
    """Write training_free.md and training_free.png from training_free.jsonl."""
    by_backbone: dict[str, Lines] = {}
    for line in read_results(output / "training_free.jsonl"):
        by_backbone.setdefault(line["backbone"], {})[line["setting"], line["how"]] = line
    parts = [_HEAD]
    for backbone, lines in by_backbone.items():
        table = table_of(backbone, lines)
        parts += [f"## Without training: {backbone}\n", markdown_text(table, is_markdown=True)]
    if any(how == "from scratch" for lines in by_backbone.values() for _, how in lines):
        parts += ["## With training\n", markdown_text(trained_table(by_backbone), is_markdown=True)]
    write_file(output / "training_free.md", "\n".join(parts))
    plot(by_backbone, output / "training_free.png")


def read(raw: Path) -> list[dict[str, Any]]:
    """Read all jobs, one a line, in the order of the page."""
    lines = [line for path in sorted(raw.glob("*.json")) for line in path.read_text().splitlines()]
    return sorted(map(json.loads, lines), key=lambda job: ORDER.index(job["backbone"]))


def join(jobs: list[dict[str, Any]]) -> dict[str, Jobs]:
    """Sort what was measured by backbone, setting, training and seed."""
    found: dict[str, Jobs] = {}
    for job in jobs:
        of_backbone = found.setdefault(job["backbone"], defaultdict(lambda: defaultdict(dict)))
        for setting, measured in job["results"].items():
            of_backbone[setting][job["how"]][job["seed"]] = measured
    return found


def summarize(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare every setting and training of a backbone with its dense models."""
    lines = []
    for backbone, results in join(jobs).items():
        where = sorted({job["where"] for job in jobs if job["backbone"] == backbone})
        for setting, trainings in results.items():
            for how, measured in trainings.items():
                line = {"backbone": backbone, "setting": setting, "how": how}
                line |= compare(results, setting, how)
                lines.append(line | {"num_seeds": len(measured), "where": "; ".join(where)})
    return lines


def rights(measured: dict[int, dict[str, object]]) -> np.ndarray:
    """Which clips are answered right: (seeds, clips) of 0 and 1."""
    return np.array([[int(x) for x in str(measured[seed]["right"])] for seed in sorted(measured)])


def compare(results: Jobs, setting: str, how: str) -> dict[str, float]:
    """Return millions of multiply-adds, top-1, difference to dense and error, spread over seeds.

    The error is that of the mean over clips of paired differences, which are means over seeds.
    """
    dense, measured = results["dense"]["no training"], results[setting][how]
    own, wanted = rights(measured), rights({seed: dense[seed] for seed in measured})
    difference = (own - wanted).mean(axis=0)
    return {
        "mmacs": float(next(iter(measured.values()))["macs"]) / 1e6,  # type: ignore[arg-type]
        "top1": 100 * own.mean(),
        "difference": 100 * difference.mean(),
        "error": 100 * difference.std(ddof=1) / len(difference) ** 0.5,
        "spread": 100 * statistics.stdev(own.mean(axis=1)) if len(own) > 1 else 0.0,
    }


def table_of(backbone: str, lines: Lines) -> Table:
    """Lay out all settings of a backbone without training, by what they are and what they cost."""
    dense = lines["dense", "no training"]
    rows = [
        [
            *(family(setting), f"`{setting}`", line["mmacs"], saved_percent(line, dense)),
            *(line[figure] for figure in ("top1", "difference", "error", "spread")),
        ]
        for (setting, how), line in lines.items()
        if how == "no training"
    ]
    rows.sort(key=lambda row: (row[0] != "dense", row[0], -row[2]))
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
        f"Means of {dense['num_seeds']} models; `seeds` is the standard deviation of top-1 over"
        f" them. {dense['where']}."
    )
    return make_table(f"Without training: {backbone}", columns, rows, note=note)


def saved_percent(line: dict[str, Any], dense: dict[str, Any]) -> float:
    """Multiply-adds against those of dense, in %."""
    return float(100 * (line["mmacs"] / dense["mmacs"] - 1))


def trained_table(by_backbone: dict[str, Lines]) -> Table:
    """Lay out the settings that were trained, beside the same without training."""
    hows = ("no training", "a tenth", "from scratch")
    rows = [
        [
            *(backbone, f"`{setting}`", line["mmacs"]),
            *(lines[setting, how][figure] for how in hows for figure in ("top1", "error")),
        ]
        for backbone, lines in by_backbone.items()
        for (setting, how), line in lines.items()
        if how == "from scratch"
    ]
    columns: list[Column | str] = ["backbone", "setting", Column(title="MMACs", format=".1f")]
    for how in hows:
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


def plot(by_backbone: dict[str, Lines], path: Path) -> None:
    """Draw what is lost over what is saved, a panel a backbone."""
    num_lines = -(-len(by_backbone) // 2)
    figure = Figure(figsize=(9.5, 3 * num_lines), dpi=100, layout="constrained")
    panels = figure.subplots(num_lines, 2, squeeze=False, sharex=True, sharey=True).flatten()
    for axis in panels[len(by_backbone) :]:
        axis.set_axis_off()
    for axis, (backbone, lines) in zip(panels, by_backbone.items(), strict=False):
        axis.axhline(0, color=INK, linewidth=0.8)
        for name in _NAMES:
            found = [
                (saved_percent(line, lines["dense", "no training"]), *difference_and_error(line))
                for (setting, how), line in lines.items()
                if how == "no training" and family(setting) == name
            ]
            if found:
                look = {
                    "markersize": 6 if name == _NAMES[0] else 4,
                    "label": name,
                    "clip_on": False,
                }
                x, y, error = zip(*found, strict=True)
                axis.errorbar(x, y, error, fmt=_MARKS[name], color=_COLOURS[name], **look)
        paint_axes(axis)
        axis.set(ylim=(_LOWEST, 4))
        axis.set_title(backbone, color=INK, fontsize=11)
        axis.tick_params(labelbottom=True)
    words = {"color": INK, "fontsize": 10}
    figure.supxlabel("multiply-adds, % against dense (further left is cheaper)", **words)
    figure.supylabel(
        f"top-1 to dense, points (higher is better; {_LOWEST} and below on the edge)", **words
    )
    known = {
        label: handle
        for axis in panels
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    known = {name: known[name] for name in _NAMES if name in known}
    figure.legend(
        *(known.values(), known.keys()),
        loc="outside upper center",
        ncols=8,
        frameon=False,
        fontsize="small",
        labelcolor=INK,
    )
    figure.savefig(path)


def difference_and_error(line: dict[str, Any]) -> tuple[float, float]:
    """Where a point stands: what is worse than the lowest place that is drawn stands there."""
    difference = line["difference"]
    return max(difference, _LOWEST), line["error"] if difference > _LOWEST else 0.0


_NAMES = [
    *("far centres", "grid centres", "tome", "random drop"),
    *("average pooling", "dpcknn", "evit", "rlt"),
]
_COLOURS = dict(zip(_NAMES, (COLOURS[i] for i in (1, 0, 2, 6, 5, 3, 4, 7)), strict=True))
_LOWEST = -60
"""Points that are drawn as lost; what loses more is of no use to anyone."""
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
