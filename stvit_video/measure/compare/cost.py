"""What a model costs, part by part: shared by the commands that compare models."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stvit_video.measure.compare.words import build_word, example_clips, find_model
from stvit_video.measure.flops import FlopReport, count_flops
from stvit_video.measure.token_counts import tokens_per_block
from stvit_video.models.network.reduction import RunLengthTransformer
from stvit_video.tokens.grid import Grid

CLUSTERING = re.compile(r"(^|\.)(generator|reducers\.\d+|reducer)$")
"""Modules whose work is to make fewer tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCost:
    """Arithmetic of one model on one view, with what it was counted on."""

    model: str
    """Name and setting."""
    clip: str
    """Frames x height x width."""
    tokens: tuple[int, ...]
    """Tokens in every block; empty where the network has no plain blocks."""
    stages: Mapping[str, int]
    """MACs of each part, in the order of the data; they sum to `flops.macs`."""
    clustering_macs: int
    """MACs spent on making fewer tokens: generators, or steps of a reducer."""
    flops: FlopReport


def model_cost(text: str, *, num_views: int = 1, allow_uncounted: bool = False) -> ModelCost:
    """Build a model by its spec on the meta device and count it.

    Run-length tokens depend on the pixels: they are counted on a real clip, the moving square of
    `example_clips`.

    Raises:
        ConfigError: no such model or setting, or an operator has no count.
    """
    spec = find_model(text)
    with torch.device("meta"):
        model = build_word(spec)
    clip = example_clips(model, 1)
    if isinstance(model, RunLengthTransformer):
        model = build_word(spec)
    else:
        clip = clip.to("meta")
    report = count_flops(model, clip, num_views=num_views, allow_uncounted=allow_uncounted)
    return ModelCost(
        model=text,
        clip=str(Grid(*clip.shape[2:])),
        tokens=tuple(tokens_per_block(model, clip)),
        stages=stage_macs(model, report.by_module, clip),
        clustering_macs=clustering_macs(report.by_module),
        flops=report,
    )


def clustering_macs(by_module: Mapping[str, int]) -> int:
    """Sum the MACs of all modules that make fewer tokens."""
    return sum(macs for name, macs in by_module.items() if CLUSTERING.search(name))


def stage_macs(model: nn.Module, by_module: Mapping[str, int], clip: Tensor) -> dict[str, int]:
    """Split the MACs of a network into its parts; what no part holds is `other`."""
    if hasattr(model, "block_ranges"):
        parts = dict(_network_parts(model, by_module))
    else:
        parts = {name: by_module[name] for name in _children(by_module, _trunk(by_module))}
    parts = {name: macs for name, macs in parts.items() if macs}
    other = by_module[""] - sum(parts.values())
    return {**parts, "other": other} if other else parts


def stage_parts(model: nn.Module) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name the parts of a network of stages: label -> module, and modules in it that are parts too.

    Empty for other networks, and for those whose stages never run.
    """
    if not hasattr(model, "block_ranges") or isinstance(model, RunLengthTransformer):
        return {}
    modules = {name for name, _ in model.named_modules()}
    parts: dict[str, tuple[str, tuple[str, ...]]] = {"embed": ("embed", ())}
    for number, blocks in enumerate(model.block_ranges):  # type: ignore[arg-type]
        stage, label = f"stages.{number}", f"blocks {blocks.start + 1}-{blocks.stop}"
        clustering = sorted(n for n in modules if n.startswith(stage) and CLUSTERING.search(n))
        for name in clustering:
            suffix = "" if len(clustering) == 1 else f" {name.rpartition('.')[2]}"
            parts[f"{label}: clustering{suffix}"] = (name, ())
        parts[label] = (stage, tuple(clustering))
    parts["head"] = ("head", ())
    return {label: part for label, part in parts.items() if part[0] in modules}


def _network_parts(model: nn.Module, by_module: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    yield "embed", by_module.get("embed", 0)
    for number, blocks in enumerate(model.block_ranges):  # type: ignore[arg-type]
        stage = f"stages.{number}"
        inside = {name: macs for name, macs in by_module.items() if name.startswith(f"{stage}.")}
        clustering = clustering_macs(inside)
        recovery = by_module.get(f"{stage}.recovery", 0)
        label = f"blocks {blocks.start + 1}-{blocks.stop}"
        yield f"{label}: clustering", clustering
        yield label, by_module.get(stage, 0) - clustering - recovery
        yield f"{label}: recovery", recovery
    yield "head", by_module.get("head", 0)


def _trunk(by_module: Mapping[str, int]) -> str:
    """Go down from the whole model while one child alone does the work."""
    name = ""
    while True:
        working = [child for child in _children(by_module, name) if by_module[child]]
        if len(working) != 1:
            return name
        name = working[0]


def _children(by_module: Mapping[str, int], parent: str) -> list[str]:
    """Modules right below `parent`; lists count through to their items."""
    prefix = f"{parent}." if parent else ""
    below = [name for name in by_module if name.startswith(prefix) and name != parent]
    return [
        name
        for name in below
        if not any(
            by_module.get(name[:cut], 0)
            for cut in range(len(prefix) + 1, len(name))
            if name[cut] == "." and name[:cut] in by_module
        )
    ]
