"""`stvit-video benchmark`: time models side by side."""

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Count, Whole
from stvit_video.settings.output import TableFormat
from stvit_video.settings.paths import VideosPath
from stvit_video.settings.timing import CompileMode, DtypeName, Modes, plan_timing

_BATCH_SIZES = [8]


def benchmark(  # noqa: PLR0913 its parameters are its command line
    models: list[str],
    *,
    mode: Modes = "inference",
    batch_sizes: list[Count] = _BATCH_SIZES,
    device: str = "auto",
    dtype: DtypeName = "float32",
    compile: CompileMode = "off",
    rounds: Count = 10,
    videos: VideosPath | None = None,
    num_workers: Whole = 2,
    format: TableFormat = "table",
    json: ResultFile | None = None,
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
    settings = plan_timing(
        mode,
        batch_sizes=batch_sizes,
        device=device,
        dtype=dtype,
        compile=compile,
        num_rounds=rounds,
    )
    from stvit_video.measure.compare.cost import model_cost
    from stvit_video.measure.compare.speed import (
        FileRecord,
        measure_ceiling,
        measure_from_files,
        measure_speed,
    )
    from stvit_video.measure.compare.speed_tables import file_table, speed_table
    from stvit_video.report.drawn_table import print_tables
    from stvit_video.report.json_file import result_console, write_json

    costs = [model_cost(model, allow_uncounted=True) for model in models]
    ceiling = measure_ceiling(settings[0])
    records = [record for each in settings for record in measure_speed(costs, each, ceiling)]
    from_files: list[FileRecord] = []
    if videos is not None:
        from_files = measure_from_files(costs, videos, settings[0], num_workers=num_workers)
    tables = [speed_table(records, ceiling), *([file_table(from_files)] if from_files else [])]
    write_json({"speed": records, "from_files": from_files, "matmul_ceiling": ceiling}, json)
    print_tables(result_console(json), tables, format)
