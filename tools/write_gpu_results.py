"""Turn the raw JSON of `tools/benchmark_gpu.py` into a page with tables, targets and plots.

python tools/write_gpu_results.py raw docs/results/h200.md
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from gpu_cases import MAE, TIMESFORMER
from gpu_targets import TARGETS, Raw, cost_of, utilisation

from stvit_video.files import write_file
from stvit_video.report.page import Picture, Section, markdown_page
from stvit_video.report.plot_look import Axes
from stvit_video.report.plots import line_plot, point_plot
from stvit_video.report.tables import Cell, Column, Table, make_table

TITLES = {
    "joint": "Joint attention, VideoMAE-B 16x224x224",
    "rivals": "Reducers on the same backbone",
    "training": "Training step (forward, backward, AdamW; float32 weights, bf16 autocast)",
    "timesformer": "TimeSformer-B 8x224x224, divided attention",
    "vivit": "ViViT-B/16x2, 32 frames",
    "swin": "Video Swin-T, 32x224x224",
    "vjepa2": "V-JEPA 2-L with an attentive probe of 4 blocks, 16x256x256",
    "rows": "Other models, dense and semantic",
    "latency": "Batch 1",
    "scaling": "Longer and larger clips",
    "sweep": "Batch sizes",
}


def main() -> None:
    """Read the folder of raw files, write the page and its pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("raw", type=Path, help="folder of the JSON files")
    parser.add_argument("page", type=Path, help="Markdown file to write; plots go beside it")
    arguments = parser.parse_args()
    raw: Raw = {p.stem: json.loads(p.read_text()) for p in sorted(arguments.raw.glob("*.json"))}
    sections = page_sections(raw)
    for picture in (picture for section in sections for picture in section.pictures):
        write_file(arguments.page.parent / picture.name, picture.content)
    device = next(iter(raw.values()))["environment"]["device"]
    write_file(arguments.page, markdown_page(f"Speed on one {device}", sections, is_markdown=True))


def page_sections(raw: Raw) -> list[Section]:
    """Lay out the page: conditions, targets, then one section of every raw file."""
    sections = [conditions(raw)]
    if targets := target_table(raw):
        sections.append(Section(title="Targets", tables=(targets,)))
    for name, title in TITLES.items():
        if name in raw:
            tables = [speed_table(raw[name], title)]
            if name == "scaling":
                tables.append(growth_table(raw[name]["results"]))
            pictures = _pictures(name, raw)
            sections.append(Section(title=title, tables=tuple(tables), pictures=pictures))
    if "agreement" in raw:
        table = agreement_table(raw["agreement"])
        sections.append(Section(title="Agreement with float32", tables=(table,)))
    if "profile" in raw:
        sections.append(Section(title="Where the time goes", tables=profile_tables(raw["profile"])))
    return sections


def conditions(raw: Raw) -> Section:
    """Say where, when and with what everything was measured."""
    lines = []
    for name, part in raw.items():
        here, ceiling = part["environment"], part["matmul_ceiling"]
        versions = ", ".join(f"{key} {value}" for key, value in here["versions"].items())
        lines.append(
            f"- {name}: {here['date']}, {here['device']}, CUDA {here['cuda']}, {versions};"
            f" matmul ceiling {ceiling['flops_per_second'] / 1e12:.0f} TFLOP/s"
            f" ({ceiling['dtype']}, {ceiling['size']}); took {part['seconds']:.0f} s"
        )
    text = (
        "Random weights and random clips, already on the device. Models of a table had their turns"
        " in the same rounds on one GPU; figures are medians over rounds. `fused` is"
        " `stvit_video.fuse(model)`; peers are as shipped. Compile: seconds until a first step was"
        " done, while other processes compiled, too; few where torch's cache held the code."
        " Written by tools/write_gpu_results.py from the raw JSON of tools/benchmark_gpu.py.\n\n"
    )
    return Section(title="Conditions", text=text + "\n".join(lines))


def speed_table(part: dict[str, Any], title: str) -> Table:
    """One row a measured case."""
    columns: list[Column | str] = [
        "model",
        "clip",
        "compile",
        "batch",
        Column(title="GMACs", format=".1f"),
        Column(title="clips/s", format=".1f"),
        Column(title="ratio", format=".2f"),
        "10-90 %",
        Column(title="p50 ms", format=".2f"),
        Column(title="p90 ms", format=".2f"),
        Column(title="spread %", format=".1f"),
        Column(title="memory GiB", format=".2f"),
        Column(title="of ceiling %", format=".0f"),
        Column(title="compile s", format=".0f"),
    ]
    rows = [_speed_row(record, part) for record in part["results"]]
    note = (
        "ratio: speed over that of the first model of the same comparison, with its first and last"
        " decile over rounds. GMACs per clip. of ceiling: 2 x MACs x clips/s over the measured"
        " matmul rate, three passes for a training step."
    )
    for record in part["results"]:
        if "mean_tokens" in record:
            kept = f"{record['mean_tokens']:.0f} tokens of a clip on average"
            note += f" {record['model']} kept {kept}."
    return make_table(title, columns, rows, note=note)


def target_table(raw: Raw) -> Table | None:
    """Compare what was asked for with what was measured; None where none of it was.

    A section that is absent shows `-`.
    """
    rows: list[list[Cell]] = []
    for target in TARGETS:
        sign = "<=" if target.at_most else ">="
        try:
            value = target.value(raw)
        except (KeyError, ValueError):  # the section or the case was not measured
            rows.append([target.text, f"{sign} {target.limit}", None, "not measured"])
            continue
        met = value <= target.limit if target.at_most else value >= target.limit
        verdict = "met" if met else f"missed: {target.why_hard}"
        rows.append([target.text, f"{sign} {target.limit}", value, verdict])
    if all(row[2] is None for row in rows):
        return None
    columns: list[Column | str] = ["what", "target", Column(title="measured", format=".2f"), ""]
    return make_table("Targets", columns, rows)


def agreement_table(part: dict[str, Any]) -> Table:
    """Show that what is timed computes what it should."""
    columns: list[Column | str] = [
        "model",
        "batch",
        Column(title="bfloat16, plain %", format=".2f"),
        Column(title="bfloat16, fused and compiled %", format=".2f"),
    ]
    rows: list[list[Cell]] = [
        [r["model"], r["batch_size"], 100 * r["plain"], 100 * r["fused_and_compiled"]]
        for r in part["results"]
    ]
    note = "Distance of the logits from those of the same weights in float32: norm of the"
    note += " difference over the norm."
    return make_table("Agreement with float32", columns, rows, note=note)


def profile_tables(part: dict[str, Any]) -> tuple[Table, ...]:
    """List the costliest kernels of each profiled model."""
    columns: list[Column | str] = [
        "kernel",
        Column(title="calls", format=".0f"),
        Column(title="ms", format=".2f"),
        Column(title="%", format=".0f"),
    ]
    tables = []
    for record in part["results"]:
        total = record["milliseconds_per_step"]
        rows = [
            [
                kernel["kernel"][:80],
                kernel["calls_per_step"],
                kernel["milliseconds_per_step"],
                100 * kernel["milliseconds_per_step"] / total,
            ]
            for kernel in record["kernels"][:10]
        ]
        title = f"{record['model']}, batch {record['batch_size']}: {total:.1f} ms in kernels a step"
        tables.append(make_table(title, columns, rows))
    return tuple(tables)


def _speed_row(record: dict[str, Any], part: dict[str, Any]) -> list[Cell]:
    head: list[Cell] = [
        record["model"],
        record.get("clip"),
        record["compile_mode"],
        record["batch_size"],
    ]
    if "error" in record:
        return [*head, None, None, None, record["error"][:60], *[None] * 6]
    memory = record["peak_memory_mib"]
    return [
        *head,
        cost_of(record["model"]).flops.macs / 1e9,
        record["clips_per_second"],
        record["ratio"],
        f"{record['ratio_low']:.2f}-{record['ratio_high']:.2f}",
        1e3 * record["median_step_seconds"],
        1e3 * record["p90_step_seconds"],
        100 * record["spread"],
        memory and memory / 1024,
        100 * utilisation(record, part),
        record["compile_seconds"],
    ]


def _setting(model: str) -> str:
    """Leave the network out of a label: all points of a plot share it."""
    dense = model.replace(MAE, "dense", 1)
    return model.removeprefix(f"{MAE}:") if dense.removesuffix(":fused") != "dense" else dense


def _pictures(name: str, raw: Raw) -> tuple[Picture, ...]:
    records = [record for record in raw[name]["results"] if "error" not in record]
    if name in ("joint", "rivals"):
        named = {f"{_setting(r['model'])} ({r['compile_mode']})": r for r in records}
        points = {
            label: (cost_of(r["model"]).flops.macs / 1e9, r["clips_per_second"])
            for label, r in named.items()
        }
        groups = {label: f"compile {r['compile_mode']}" for label, r in named.items()}
        axes = Axes(x="GMACs per clip", y="clips/s", x_better="lower", y_better="higher")
        caption = f"{TITLES[name]}: speed and cost alone; accuracy is in accuracy.md"
        return (point_plot(f"h200_{name}.png", caption, points, axes, groups=groups),)
    if name == "scaling":
        return _scaling_pictures(records)
    if name == "sweep":
        series: dict[str, list[tuple[float, float]]] = {}
        for r in records:
            series.setdefault(r["model"], []).append((r["batch_size"], r["clips_per_second"]))
        axes = Axes(x="batch size", y="clips/s", log_x=True, y_better="higher")
        return (line_plot("h200_sweep.png", "Speed and batch size", series, axes),)
    return ()


UNSTEADY = 0.1
"""Spread of the step time from which a point says more of the machine than of the model."""
SERIES = {
    MAE: "joint, dense",
    f"{MAE}, semantic": "joint, semantic after block 2",
    TIMESFORMER: "divided, dense",
    f"{TIMESFORMER}, semantic": "divided, semantic tubes after block 2",
}


def scaling_series(records: list[dict[str, Any]], key: str) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of a clip against its `frames` or `size`, by kind of model, where steady."""
    series: dict[str, list[tuple[float, float]]] = {name: [] for name in SERIES.values()}
    for record in records:
        name, *settings = record["model"].removesuffix(":fused").split(":")
        option, _, value = settings[-1].partition("=")
        if option == key and record["spread"] < UNSTEADY:
            kind = SERIES[name if len(settings) == 1 else f"{name}, semantic"]
            milliseconds = 1e3 * record["median_step_seconds"] / record["batch_size"]
            series[kind].append((int(value), milliseconds))
    return series


def growth_table(records: list[dict[str, Any]]) -> Table:
    """Show how the time of a clip grows between the smallest and the largest clip."""
    rows: list[list[Cell]] = []
    for key, power in (("frames", 1), ("size", 2)):
        for kind, points in scaling_series(records, key).items():
            if len(points) < 2:
                continue
            (small, first), (large, last) = points[0], points[-1]
            pixels = (large / small) ** power
            exponent = math.log(last / first) / math.log(pixels)
            rows.append([kind, f"{key} {small} to {large}", pixels, last / first, exponent])
    columns: list[Column | str] = [
        "model",
        "clips",
        Column(title="times the pixels", format=".1f"),
        Column(title="times the time", format=".1f"),
        Column(title="exponent", format=".2f"),
    ]
    note = (
        "Exponent: 1 is linear in the pixels of the clip, 2 quadratic. Points whose step time"
        f" spreads by {100 * UNSTEADY:.0f} % or more are left out here and in the plots."
    )
    return make_table("Growth with the clip", columns, rows, note=note)


def _scaling_pictures(records: list[dict[str, Any]]) -> tuple[Picture, ...]:
    pictures = []
    for key, label in (("frames", "frames of a clip"), ("size", "pixels of a side")):
        axes = Axes(x=label, y="milliseconds per clip", y_better="lower")
        caption = f"Time of a clip against {label}"
        series = scaling_series(records, key)
        pictures.append(line_plot(f"h200_scaling_{key}.png", caption, series, axes))
    return tuple(pictures)


if __name__ == "__main__":
    main()
