"""`stvit-video flops`: count the arithmetic of models, side by side."""

from typing import Literal

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Count
from stvit_video.settings.output import TableFormat


def flops(
    models: list[str],
    *,
    views: Count = 1,
    tables: Literal["summary", "stages", "operators", "all"] = "all",
    format: TableFormat = "table",
    allow_uncounted: bool = False,
    json: ResultFile | None = None,
) -> None:
    """Count the arithmetic of models, side by side.

    Args:
        models: Models with their settings, as in `videomae_base_patch16_224:8x4x4@4`,
            `deit_small_patch16_224:tome:r=13`, `torchvision:swin3d_t`; the first is the measure of
            the others.
        views: Views (clips x crops) of a video, for the totals per video.
        tables: Which tables to print.
        format: How to print them.
        allow_uncounted: Go on, and list them, where operators have no count.
        json: Write the result here; `-` is standard output.
    """
    from stvit_video.measure.compare.cost import model_cost
    from stvit_video.measure.compare.cost_tables import cost_record, part_table, summary_table
    from stvit_video.report.drawn_table import print_tables
    from stvit_video.report.json_file import result_console, write_json

    costs = [
        model_cost(model, num_views=views, allow_uncounted=allow_uncounted) for model in models
    ]
    chosen = {
        "summary": [summary_table(costs)],
        "stages": [part_table(costs, "stages")],
        "operators": [part_table(costs, "operators")],
        "all": [summary_table(costs), part_table(costs, "stages"), part_table(costs, "operators")],
    }[tables]
    write_json([cost_record(cost) for cost in costs], json)
    print_tables(result_console(json), chosen, format)
