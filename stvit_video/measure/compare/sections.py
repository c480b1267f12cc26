"""What stands on the page of `stvit-video report`: findings to sections, tables and plots."""

from collections.abc import Mapping

from stvit_video.measure.compare.cost_tables import part_names, part_table, summary_table
from stvit_video.measure.compare.findings import Findings, environment
from stvit_video.measure.compare.speed_tables import conditions, speed_table
from stvit_video.report.page import Picture, Section
from stvit_video.report.plots import Axes, line_plot, point_plot, stacked_bars
from stvit_video.report.tables import Cell, Column, Table, make_table

_COST_AXIS = "GMACs per view"


def report_sections(findings: Findings) -> list[Section]:
    """Lay out the page."""
    costs = findings.costs
    tokens = {cost.model: list(enumerate(cost.tokens, start=1)) for cost in costs if cost.tokens}
    cost_pictures = [
        stacked_bars(
            "stages.svg",
            "MACs of each part of the network",
            _in_order({cost.model: cost.stages for cost in costs}, 1e-9),
            _COST_AXIS,
        )
    ]
    if tokens:
        axes = Axes(x="block", y="tokens")
        cost_pictures.append(line_plot("tokens.svg", "Tokens in every block", tokens, axes))
    cost_tables = (
        summary_table(costs),
        part_table(costs, "stages"),
        part_table(costs, "operators"),
    )
    return [
        Section(title="Conditions", text=_conditions_text(findings)),
        Section(title="Cost", tables=cost_tables, pictures=tuple(cost_pictures)),
        Section(
            title="Speed",
            tables=(speed_table(findings.speed, findings.ceiling),),
            pictures=_speed_pictures(findings),
        ),
        *_quality_sections(findings),
    ]


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
    series: dict[str, list[tuple[float, float]]] = {}
    for record in findings.speed:
        if record.report is not None and record.mode == findings.speed[0].mode:
            point = (record.batch_size, record.report.clips_per_second)
            series.setdefault(record.model, []).append(point)
    best = {name: (macs[name], max(y for _, y in points)) for name, points in series.items()}
    pictures = [
        point_plot(
            "speed.svg",
            "Speed at each model's best batch size, against cost",
            best,
            Axes(x=_COST_AXIS, y="clips/s", log_x=True, log_y=True),
        ),
        line_plot(
            "batches.svg",
            "Speed against batch size",
            {name: sorted(points) for name, points in series.items()},
            Axes(x="clips in a batch", y="clips/s"),
        ),
    ]
    if findings.stage_seconds:
        milliseconds = _in_order(findings.stage_seconds, 1e3)
        caption = "Time of each part of a forward pass, the device synchronised at every border"
        pictures.append(stacked_bars("time.svg", caption, milliseconds, "milliseconds"))
    return tuple(pictures)


def _in_order(
    parts: Mapping[str, Mapping[str, float]], scale: float
) -> dict[str, dict[str, float]]:
    """Give every model the same parts in the same order."""
    names = part_names(list(parts.values()))
    return {
        model: {name: scale * part.get(name, 0.0) for name in names}
        for model, part in parts.items()
    }


def _quality_sections(findings: Findings) -> list[Section]:
    macs = {cost.model: cost.flops.macs / 1e9 for cost in findings.costs}
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
        if known:
            points = {name: (macs[name], value) for name, value in known.items()}
            caption = f"{title} against cost"
            axes = Axes(x=_COST_AXIS, y=unit)
            picture = point_plot(f"{title.lower()}.svg", caption, points, axes)
            table = _quality_table(title, unit, points, note)
            sections.append(Section(title=title, tables=(table,), pictures=(picture,)))
    return sections


def _quality_table(
    title: str, unit: str, points: Mapping[str, tuple[float, float]], note: str
) -> Table:
    columns: list[Column | str] = [
        "model",
        Column(title=_COST_AXIS, format=".2f"),
        Column(title=unit, format=".2f"),
    ]
    rows: list[list[Cell]] = [[name, cost, value] for name, (cost, value) in points.items()]
    return make_table(title, columns, rows, note=note)
