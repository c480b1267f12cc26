"""What stands on the page of `stvit-video report`: findings to sections, tables and plots."""

from collections.abc import Mapping
from typing import Literal

from stvit_video.measure.compare.cost_tables import part_table, summary_table
from stvit_video.measure.compare.findings import Findings, environment
from stvit_video.measure.compare.speed_tables import conditions, speed_table
from stvit_video.report.page import Picture, Section
from stvit_video.report.plot_look import COLOURS, Axes
from stvit_video.report.plots import line_plot, point_plot, stacked_bars
from stvit_video.report.tables import Cell, Column, Table, make_table
from stvit_video.settings.model import parse_model

_COST_AXIS = "GMACs per view"


WORK_COLOURS = {
    "embed": COLOURS[4],
    "blocks": COLOURS[0],
    "clustering": COLOURS[1],
    "recovery": COLOURS[2],
    "head": COLOURS[5],
    "other": COLOURS[3],
    "not split": COLOURS[6],
}
"""One colour for the same work in all bars."""


def report_sections(findings: Findings) -> list[Section]:
    """Lay out the page."""
    costs, first = findings.costs, findings.costs[0].model
    tokens = {
        short_name(cost.model, first): list(enumerate(cost.tokens, start=1))
        for cost in costs
        if cost.tokens
    }
    bars = {short_name(cost.model, first): work_of(cost.stages, 1e-9) for cost in costs}
    caption = "Multiply-adds of each kind of work"
    cost_pictures = [
        stacked_bars("stages.svg", caption, bars, _COST_AXIS, colours=WORK_COLOURS),
    ]
    if tokens:
        axes = Axes(x="block", y="tokens", y_better="lower")
        cost_pictures.append(line_plot("tokens.svg", "Tokens in every block", tokens, axes))
    cost_tables = (
        summary_table(costs, findings.accuracy),
        part_table(costs, "stages"),
        part_table(costs, "operators"),
    )
    return [
        Section(title="Conditions", text=_conditions_text(findings)),
        Section(title="Cost", tables=cost_tables, pictures=tuple(cost_pictures)),
        Section(
            title="Speed",
            tables=(speed_table(findings.speed, findings.ceiling, findings.accuracy),),
            pictures=_speed_pictures(findings),
        ),
        *_quality_sections(findings),
    ]


def short_name(model: str, first: str) -> str:
    """Write a setting of the first model without its name, for plots: `8x4x4@4`."""
    return model.removeprefix(f"{first}:")


def work_of(parts: Mapping[str, float], scale: float) -> dict[str, float]:
    """Sum the parts of a model by the kind of work; what tells none, as of a peer, is `not split`.

    `blocks 5-12: clustering` is clustering, `blocks 5-12` and `model.blocks` are blocks.
    """
    found = dict.fromkeys(WORK_COLOURS, 0.0)
    for part, value in parts.items():
        name = part.split(": ")[-1].split(" ")[0].rpartition(".")[2]
        name = "embed" if "embed" in name else name
        is_told = name in WORK_COLOURS and len(parts) > 1
        found[name if is_told else "not split"] += scale * value
    return {name: value for name, value in found.items() if value}


def kind_of(model: str) -> str:
    """Say what a model is, in the legend of plots."""
    word = parse_model(model)
    if word.is_peer:
        return "peer"
    if word.config.reduction:
        return "reducer"
    return "semantic tokens" if word.config.semantic else "dense"


def _conditions_text(findings: Findings) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in environment().items())
    weights = findings.pretrained or "random"
    text = (
        f"{versions}.\n\nSpeed: {conditions(findings.speed)} Weights: {weights}. Clips of speed:"
        " noise with a moving square, already on the device. Peers are models of other libraries"
        " as shipped, with random weights, measured in the same rounds."
    )
    if findings.absent:
        lines = "\n".join(f"{name}: {why}" for name, why in findings.absent.items())
        text += f"\n\nNot measured:\n{lines}"
    return text


def _speed_pictures(findings: Findings) -> tuple[Picture, ...]:
    macs = {cost.model: cost.flops.macs / 1e9 for cost in findings.costs}
    first = findings.costs[0].model
    series: dict[str, list[tuple[float, float]]] = {}
    for record in findings.speed:
        if record.report is not None and record.mode == findings.speed[0].mode:
            point = (record.batch_size, record.report.clips_per_second)
            series.setdefault(record.model, []).append(point)
    pictures = []
    if series:
        best = {name: (macs[name], speed) for name, speed in _best_speeds(findings).items()}
        pictures = [
            _model_points(
                "speed.svg",
                "Speed at each model's best batch size, against cost"
                + ("; in brackets the accuracy, where it is known" if findings.accuracy else ""),
                best,
                Axes(x=_COST_AXIS, y="clips/s", log_x=True, log_y=True, y_better="higher"),
                first=first,
                told={name: f" ({value:.1f} %)" for name, value in findings.accuracy.items()},
            ),
            line_plot(
                "batches.svg",
                "Speed against batch size",
                {short_name(name, first): sorted(points) for name, points in series.items()},
                Axes(x="clips in a batch", y="clips/s", y_better="higher"),
            ),
        ]
    if findings.stage_seconds:
        bars = {
            short_name(name, first): work_of(parts, 1e3)
            for name, parts in findings.stage_seconds.items()
        }
        caption = "Time of each kind of work, the device synchronised at every border"
        axis = "milliseconds of a forward pass"
        pictures.append(stacked_bars("time.svg", caption, bars, axis, colours=WORK_COLOURS))
    return tuple(pictures)


def _model_points(
    name: str,
    caption: str,
    points: Mapping[str, tuple[float, float]],
    axes: Axes,
    *,
    first: str,
    told: Mapping[str, str] | None = None,
) -> Picture:
    """Draw models as points, coloured by what they are; `told` is added to their names."""
    names = {model: short_name(model, first) + (told or {}).get(model, "") for model in points}
    groups = {names[model]: kind_of(model) for model in points}
    drawn = {names[model]: point for model, point in points.items()}
    return point_plot(name, caption, drawn, axes, groups=groups)


def _quality_sections(findings: Findings) -> list[Section]:
    macs = {cost.model: cost.flops.macs / 1e9 for cost in findings.costs}
    speed = _best_speeds(findings)
    sections = []
    for title, unit, values, note in (
        ("Accuracy", "top-1 %", findings.accuracy, "Given in the settings; measured elsewhere."),
        (
            "Agreement",
            "same top-1 %",
            findings.agreement,
            "Share of clips whose first class is that of the first model, with the same weights"
            f" ({findings.pretrained or 'random: this says nothing about accuracy'}).",
        ),
    ):
        known = {name: value for name, value in values.items() if name in macs}
        if not known:
            continue
        pictures = []
        for against, axis, costs in (("cost", _COST_AXIS, macs), ("speed", "clips/s", speed)):
            points = {name: (costs[name], value) for name, value in known.items() if name in costs}
            better: Literal["lower", "higher"] = "lower" if against == "cost" else "higher"
            axes = Axes(x=axis, y=unit, x_better=better, y_better="higher")
            file = f"{title.lower()}{'' if against == 'cost' else '_speed'}.svg"
            if points:
                caption = f"{title} against {against}"
                first = findings.costs[0].model
                pictures.append(_model_points(file, caption, points, axes, first=first))
        rows: list[list[Cell]] = [
            [name, value, macs[name], speed.get(name)] for name, value in known.items()
        ]
        table = _quality_table(title, unit, rows, note)
        sections.append(Section(title=title, tables=(table,), pictures=tuple(pictures)))
    return sections


def _best_speeds(findings: Findings) -> dict[str, float]:
    """Clips per second of each model at its best batch size, in the first mode."""
    found: dict[str, float] = {}
    for record in findings.speed:
        if record.report is not None and record.mode == findings.speed[0].mode:
            speed = record.report.clips_per_second
            found[record.model] = max(speed, found.get(record.model, 0.0))
    return found


def _quality_table(title: str, unit: str, rows: list[list[Cell]], note: str) -> Table:
    columns: list[Column | str] = [
        "model",
        Column(title=unit, format=".2f"),
        Column(title=_COST_AXIS, format=".2f"),
        Column(title="clips/s", format=".2f"),
    ]
    return make_table(title, columns, rows, note=note)
