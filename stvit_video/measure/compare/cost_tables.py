"""What models cost, as tables and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from stvit_video.measure.compare.cost import ModelCost
from stvit_video.report.tables import Column, Table, make_table

_GIGA = 1e9
_UNIT = (
    "1 MAC is one multiply-add pair, which papers print as one FLOP; FLOPs here are 2 x MACs."
    " Clustering: GMACs/view spent on making fewer tokens. x fewer: MACs of the first model over"
    " own. Counted by running: matrix products, convolutions, attention, interpolation."
)


def summary_table(costs: Sequence[ModelCost], accuracy: Mapping[str, float] | None = None) -> Table:
    """One row a model: what it saves, input, tokens, parameters, MACs and FLOPs.

    Where `accuracy`, top-1 in percent by model, is known, it stands beside.
    """
    columns: list[Column | str] = [
        "model",
        Column(title="x fewer", format=".2f"),
        *accuracy_columns(accuracy),
        "clip",
        "tokens",
        Column(title="params M", format=".1f"),
        Column(title="GMACs/view", format=".2f"),
        Column(title="clustering", format=".2f"),
        Column(title="GFLOPs/view", format=".2f"),
        "views",
        Column(title="GMACs/video", format=",.1f"),
        Column(title="GFLOPs/video", format=",.1f"),
    ]
    first = costs[0].flops.macs
    rows = [
        [
            cost.model,
            first / cost.flops.macs,
            *([accuracy.get(cost.model)] if accuracy else []),
            cost.clip,
            token_range(cost.tokens),
            cost.flops.num_parameters / 1e6,
            cost.flops.macs / _GIGA,
            cost.clustering_macs / _GIGA if cost.clustering_macs else None,
            cost.flops.flops / _GIGA,
            cost.flops.num_views,
            cost.flops.macs_per_video / _GIGA,
            cost.flops.flops_per_video / _GIGA,
        ]
        for cost in costs
    ]
    uncounted = sorted({name for cost in costs for name in cost.flops.uncounted})
    listed = f" Uncounted operators: {', '.join(uncounted) or 'none'}."
    return make_table("Cost", columns, rows, note=_UNIT + listed)


def accuracy_columns(accuracy: Mapping[str, float] | None) -> list[Column]:
    """Return the column of accuracies, where any is known."""
    return [Column(title="top-1 %", format=".1f")] if accuracy else []


def part_table(costs: Sequence[ModelCost], kind: Literal["stages", "operators"]) -> Table:
    """One row a stage or operator type, one column a model, in GMACs per view."""
    parts = [cost.stages if kind == "stages" else cost.flops.by_operator for cost in costs]
    names = part_names(parts)
    rows = [
        [name, *[part[name] / _GIGA if name in part else None for part in parts]] for name in names
    ]
    rows.append(["sum", *[cost.flops.macs / _GIGA for cost in costs]])
    columns = [Column(title=cost.model, format=".3f") for cost in costs]
    title = "GMACs per view by stage" if kind == "stages" else "GMACs per view by operator type"
    return make_table(title, [Column(title=kind[:-1]), *columns], rows)


def part_names(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Merge the names of parts of several models, in the order of the data, the head last."""
    names = list(dict.fromkeys(name for part in parts for name in part))
    return sorted(names, key=lambda name: name in ("head", "other"))


def token_range(tokens: Sequence[int]) -> str | None:
    """Write tokens of the first and of the last block: `1568 -> 128`."""
    if not tokens:
        return None
    return str(tokens[0]) if tokens[0] == tokens[-1] else f"{tokens[0]} -> {tokens[-1]}"


def cost_record(cost: ModelCost) -> dict[str, object]:
    """Make the JSON record of one model; every number names its unit."""
    return {
        "model": cost.model,
        "clip": cost.clip,
        "tokens_per_block": list(cost.tokens),
        "parameters": cost.flops.num_parameters,
        "macs_per_view": cost.flops.macs,
        "flops_per_view": cost.flops.flops,
        "views": cost.flops.num_views,
        "macs_per_video": cost.flops.macs_per_video,
        "flops_per_video": cost.flops.flops_per_video,
        "clustering_macs_per_view": cost.clustering_macs,
        "macs_by_stage": dict(cost.stages),
        "macs_by_operator": dict(cost.flops.by_operator),
        "uncounted_operators": dict(cost.flops.uncounted),
    }
