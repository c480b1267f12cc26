"""How fast models are, as tables."""

from collections.abc import Mapping, Sequence

from stvit_video.measure.ceiling import MatmulCeiling
from stvit_video.measure.compare.cost_tables import accuracy_columns
from stvit_video.measure.compare.speed import FileRecord, SpeedRecord
from stvit_video.report.counts import counted
from stvit_video.report.tables import Cell, Column, Table, make_table


def speed_table(
    records: Sequence[SpeedRecord],
    ceiling: MatmulCeiling,
    accuracy: Mapping[str, float] | None = None,
) -> Table:
    """One row a model, mode and batch size; out of memory shows as empty cells.

    Where `accuracy`, top-1 in percent by model, is known, it stands beside.
    """
    columns: list[Column | str] = [
        "model",
        Column(title="x faster", format=".2f"),
        Column(title="10-90 %"),
        *accuracy_columns(accuracy),
        "mode",
        "batch",
        Column(title="clips/s", format=".2f"),
        Column(title="p50 ms", format=".1f"),
        Column(title="p90 ms", format=".1f"),
        Column(title="spread %", format=".1f"),
        Column(title="memory MiB", format=".0f"),
        Column(title="of matmul ceiling %", format=".0f"),
        "tokens kept",
    ]
    note = (
        "Models had their turns in the same rounds; x faster: speed over that of the first model,"
        " median over rounds, and its first and last decile. Spread: between the quartiles."
        f" Matmul ceiling {ceiling.flops_per_second / 1e12:.3g} TFLOP/s"
        f" ({ceiling.dtype}, {ceiling.size} x {ceiling.size}). {conditions(records)}"
    )
    rows = [_speed_row(record, accuracy) for record in records]
    return make_table("Speed", columns, rows, note=note)


def file_table(records: Sequence[FileRecord]) -> Table:
    """One row a model: clips per second from files to logits, and the share of waiting."""
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


def conditions(records: Sequence[SpeedRecord]) -> str:
    """Say under which conditions speeds were measured."""
    reports = [record.report for record in records if record.report is not None]
    if not reports:
        return "Nothing fitted into the memory."
    one = reports[0]
    threads = f", {counted(one.num_threads, 'thread')}" if one.device == "cpu" else ""
    dtypes = " / ".join(dict.fromkeys(report.dtype for report in reports))
    return (
        f"{one.device}{threads}, {dtypes}, compile {one.compile_mode},"
        f" {one.num_rounds} rounds of {one.steps_per_round} step."
    )


def _speed_row(record: SpeedRecord, accuracy: Mapping[str, float] | None) -> list[Cell]:
    report = record.report
    known = [accuracy.get(record.model)] if accuracy else []
    if report is None:
        empty = [None] * 7
        return [record.model, None, None, *known, "out of memory", record.batch_size, *empty]
    return [
        record.model,
        report.ratio,
        f"{report.ratio_low:.2f}-{report.ratio_high:.2f}",
        *known,
        report.mode,
        record.batch_size,
        report.clips_per_second,
        1e3 * report.median_step_seconds,
        1e3 * report.p90_step_seconds,
        100 * report.spread,
        report.peak_memory_mib,
        None if record.utilisation is None else 100 * record.utilisation,
        None if record.mean_tokens is None else round(record.mean_tokens),
    ]
