"""`stvit-video benchmark`: time models side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stvit_video.report.json_file import result_console, write_json

if TYPE_CHECKING:
    from stvit_video.measure.ceiling import MatmulCeiling
    from stvit_video.measure.compare.speed import FileRecord, SpeedRecord
    from stvit_video.report.tables import Cell, Table

CompileMode = Literal["off", "blocks", "default", "reduce-overhead", "cuda-graph", "max-autotune"]
_BATCH_SIZES = [8]


def benchmark(  # noqa: PLR0913 its parameters are its command line
    models: list[str],
    *,
    mode: Literal["inference", "training", "both"] = "inference",
    batch_sizes: list[int] = _BATCH_SIZES,
    device: str = "auto",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    compile: CompileMode = "off",
    rounds: int = 10,
    videos: Path | None = None,
    num_workers: int = 2,
    format: Literal["table", "csv", "markdown", "latex"] = "table",
    json: Path | None = None,
) -> None:
    """Time models side by side.

    Args:
        models: Models with their settings, as for `stvit-video flops`; the first is the measure of
            the others.
        mode: Forward passes, or training steps (forward, backward, AdamW), or both.
        batch_sizes: Clips of a batch, as in `[1, 8, 32]`; where the memory ends, the half-way size
            is tried.
        device: auto, cpu, cuda or cuda:1.
        dtype: Of weights and clips; in training of the autocast.
        compile: `blocks` compiles each block alone, quickly; `cuda-graph` launches everything at
            once, for small batches; the others are modes of torch.compile.
        rounds: Times that every model has its turn.
        videos: Also measure from files to logits: a folder of class folders, or a manifest.
        num_workers: Processes that decode, for `videos`.
        format: How to print the tables.
        json: Write the result here; `-` is standard output.
    """
    from stvit_video.measure.compare import speed
    from stvit_video.measure.compare.cost import model_cost

    settings = speed.plan_timing(
        mode,
        batch_sizes=batch_sizes,
        device=device,
        dtype=dtype,
        compile=compile,
        num_rounds=rounds,
    )
    costs = [model_cost(model, allow_uncounted=True) for model in models]
    ceiling = speed.measure_ceiling(settings[0])
    records = [record for each in settings for record in speed.measure_speed(costs, each, ceiling)]
    from_files: list[FileRecord] = []
    if videos is not None:
        from_files = speed.measure_from_files(costs, videos, settings[0], num_workers=num_workers)
    tables = [speed_table(records, ceiling)]
    if from_files:
        tables.append(file_table(from_files))
    write_json({"speed": records, "from_files": from_files, "matmul_ceiling": ceiling}, json)
    _print(tables, format, json)


def speed_table(records: "Sequence[SpeedRecord]", ceiling: "MatmulCeiling") -> "Table":
    """One row a model, mode and batch size; out of memory shows as empty cells."""
    from stvit_video.report.tables import Column, make_table

    columns: list[Column | str] = [
        "model",
        "mode",
        "batch",
        Column(title="clips/s", format=".2f"),
        Column(title="ratio", format=".2f"),
        Column(title="10-90 %"),
        Column(title="p50 ms", format=".1f"),
        Column(title="p90 ms", format=".1f"),
        Column(title="spread %", format=".1f"),
        Column(title="memory MiB", format=".0f"),
        Column(title="of matmul ceiling %", format=".0f"),
        "tokens kept",
    ]
    note = (
        "Models had their turns in the same rounds; ratio: speed over that of the first model,"
        " median over rounds, and its first and last decile. Spread: between the quartiles."
        f" Matmul ceiling {ceiling.flops_per_second / 1e12:.3g} TFLOP/s"
        f" ({ceiling.dtype}, {ceiling.size} x {ceiling.size}). {conditions(records)}"
    )
    return make_table("Speed", columns, [_speed_row(record) for record in records], note=note)


def file_table(records: "Sequence[FileRecord]") -> "Table":
    """One row a model: clips per second from files to logits, and the share of waiting."""
    from stvit_video.report.tables import Column, make_table

    columns: list[Column | str] = [
        "model",
        Column(title="clips/s", format=".2f"),
        Column(title="waited for data %", format=".0f"),
        "clips",
        "failed videos",
        "batch",
        "workers",
        "device",
    ]
    rows: list[list[Cell]] = [
        [
            record.model,
            record.clips_per_second,
            100 * record.data_wait_share,
            record.num_clips,
            record.num_failed_videos,
            record.batch_size,
            record.num_workers,
            record.device,
        ]
        for record in records
    ]
    return make_table("From video files to logits", columns, rows)


def conditions(records: "Sequence[SpeedRecord]") -> str:
    """Say under which conditions speeds were measured."""
    reports = [record.report for record in records if record.report is not None]
    if not reports:
        return "Nothing fitted into the memory."
    one = reports[0]
    threads = f", {one.num_threads} threads" if one.device == "cpu" else ""
    dtypes = " / ".join(dict.fromkeys(report.dtype for report in reports))
    return (
        f"{one.device}{threads}, {dtypes}, compile {one.compile_mode},"
        f" {one.num_rounds} rounds of {one.steps_per_round} step."
    )


def _speed_row(record: "SpeedRecord") -> "list[Cell]":
    report = record.report
    if report is None:
        return [record.model, "out of memory", record.batch_size, *[None] * 9]
    return [
        record.model,
        report.mode,
        record.batch_size,
        report.clips_per_second,
        report.ratio,
        f"{report.ratio_low:.2f}-{report.ratio_high:.2f}",
        1e3 * report.median_step_seconds,
        1e3 * report.p90_step_seconds,
        100 * report.spread,
        report.peak_memory_mib,
        None if record.utilisation is None else 100 * record.utilisation,
        None if record.mean_tokens is None else round(record.mean_tokens),
    ]


def _print(tables: "Sequence[Table]", format: str, json: Path | None) -> None:
    from stvit_video.report.tables import print_table, table_text

    console = result_console(json)
    for table in tables:
        if format == "table":
            print_table(console, table)
        else:
            console.out(table_text(table, format))
