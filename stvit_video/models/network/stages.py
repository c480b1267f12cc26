"""What happens between embedding and head. Every stage maps a set of tokens to another.

The network owns all blocks in one numbered list, so weights keep their names whatever the setting;
it hands every stage its own run of them.

Legend: B clips, P class tokens (0 or 1), N patch tokens, S semantic tokens, D width.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.settings.grammar import SemanticConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.generator import Layer, SemanticTokenGenerator, check_counts
from stvit_video.tokens.semantic.recovery import NearestRecovery, TokenRecovery, build_recovery
from stvit_video.tokens.token_set import TokenSet


class Stage(Protocol):
    """A run of blocks: what a network is made of between embedding and head."""

    def __call__(self, state: TokenSet, blocks: Sequence[nn.Module]) -> TokenSet:
        """Map tokens (B, P + N, D) on a grid to tokens on a grid."""
        ...


@runtime_checkable
class GatheringStage(Protocol):
    """A stage that makes fewer tokens, and can say of which."""

    def assignments(self, state: TokenSet, blocks: Sequence[nn.Module]) -> Tensor:
        """Say what each token is made of: tokens (B, P + N, D) -> weights (B, S, N)."""
        ...


class BlockStage(nn.Module):
    """Run the blocks one after the other; grid and sizes stay."""

    def forward(self, state: TokenSet, blocks: Sequence[nn.Module]) -> TokenSet:
        """(B, P + N, D) -> (B, P + N, D)."""
        return run_blocks(state, blocks)


class SemanticStage(nn.Module):
    """Cluster with the first blocks, go on with the others on the semantic grid.

    With a recovery, the last block brings every patch token back: one dumbbell unit of STViT-R. So
    do far centres without a block, each for its own.
    """

    def __init__(
        self,
        generator: SemanticTokenGenerator,
        recovery: TokenRecovery | NearestRecovery | None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.recovery = recovery

    def forward(self, state: TokenSet, blocks: Sequence[nn.Module]) -> TokenSet:
        """(B, P + N, D) -> (B, P + S, D) on the semantic grid, or (B, P + N, D) recovered."""
        _refuse_old_exporter()
        num_layers = self.generator.setting.layers
        start, clusters = self.generator(state, self.layers(state.grid, blocks))
        stop = len(blocks) - int(isinstance(self.recovery, TokenRecovery))
        semantic = run_blocks(start, blocks[num_layers:stop])  # (B, P + S, D)
        if self.recovery is None:
            return semantic
        if isinstance(self.recovery, NearestRecovery):
            assert clusters is not None
            return self.recovery(state, start, semantic, clusters.nearest)
        return self.recovery(
            state, semantic, self.recovery_layer(state.grid, semantic.grid, blocks)
        )

    def assignments(self, state: TokenSet, blocks: Sequence[nn.Module]) -> Tensor:
        """Say what semantic tokens read: tokens (B, P + N, D) -> weights (B, S, N)."""
        return self.generator.assignments(state, self.layers(state.grid, blocks))

    def layers(self, grid: Grid, blocks: Sequence[nn.Module]) -> Sequence[Layer]:
        """Return the layers of the generator: the first of the blocks."""
        return blocks[: self.generator.setting.layers]

    def recovery_layer(self, grid: Grid, semantic_grid: Grid, blocks: Sequence[nn.Module]) -> Layer:
        """Return the layer of the recovery: the last of the blocks."""
        return blocks[-1]


def _refuse_old_exporter() -> None:
    """Refuse the tracer of ONNX, which would fix the number of clips without a word.

    Raises:
        ConfigError: it traces; jit traces without it, and its successor, are let through.
    """
    is_tracing = torch.jit.is_tracing()  # type: ignore[attr-defined]
    if is_tracing and torch.onnx.is_in_onnx_export():
        raise ConfigError(
            "torch.onnx.export(dynamo=False) writes semantic tokens wrongly for another number of"
            " clips; use dynamo=True"
        )


def run_blocks(state: TokenSet, blocks: Sequence[nn.Module]) -> TokenSet:
    """Run blocks one after the other: (B, P + N, D) -> (B, P + N, D), on the same grid."""
    bias = state.key_bias()
    tokens = state.tokens
    for block in blocks:
        tokens = block(tokens, state.grid, mask=bias, **state.where())
    return state._replace(tokens=tokens)


class Run(NamedTuple):
    """A stage and the numbers of the blocks that it is handed."""

    stage: nn.Module
    blocks: range


def split_runs(runs: Sequence[Run], layers: Sequence[int]) -> list[Run]:
    """Let a run end with each of the blocks `layers`, counted from 1, so that its tokens are there.

    Raises:
        ConfigError: there is no such block, or no tokens of their own behind it.
    """
    depth = runs[-1].blocks.stop
    split: list[Run] = []
    for stage, blocks in runs:
        starts = [number for number in sorted(layers) if blocks.start < number < blocks.stop]
        first = blocks.start
        if isinstance(stage, SemanticStage):
            first += stage.generator.setting.layers
        is_plain = isinstance(stage, BlockStage | SemanticStage)
        is_whole = not is_plain or getattr(stage, "recovery", None) is not None
        if starts and (is_whole or starts[0] < first):
            raise ConfigError(
                f"attentive_layers: block {starts[0]} is in the middle of what clusters, reduces or"
                " recovers tokens; choose another"
            )
        ends = [*starts, blocks.stop]
        split.append(Run(stage, range(blocks.start, ends[0])))
        split += [Run(BlockStage(), range(*pair)) for pair in itertools.pairwise(ends)]
    for number in layers:
        if number > depth:
            raise ConfigError(f"attentive_layers ({number}) must be at most the {depth} blocks")
    return split


def build_semantic_stage(dim: int, setting: SemanticConfig) -> SemanticStage:
    """Make the stage of a setting, with a recovery where it says so."""
    recovery = None if setting.until is None else build_recovery(setting.recovery)
    return SemanticStage(SemanticTokenGenerator(dim, setting), recovery)


def plan_stages(
    settings: Sequence[SemanticConfig],
    *,
    depth: int,
    dim: int,
    grid: Grid,
    build_stage: Callable[[int, SemanticConfig], nn.Module] = build_semantic_stage,
) -> list[Run]:
    """Lay `settings` over `depth` blocks: runs of plain blocks with semantic stages between them.

    Raises:
        ConfigError: a setting wants blocks or tokens that are not there, or settings overlap.
    """
    runs: list[Run] = []
    start = 0
    for setting in settings:
        check_setting(setting, depth=depth, start=start, grid=grid)
        if setting.after > start:
            runs.append(Run(BlockStage(), range(start, setting.after)))
        stop = depth if setting.until is None else setting.until
        runs.append(Run(build_stage(dim, setting), range(setting.after, stop)))
        start = stop
    if start < depth:
        runs.append(Run(BlockStage(), range(start, depth)))
    return runs


def crossing_blocks(settings: Sequence[SemanticConfig]) -> set[int]:
    """Return the numbers of the blocks that become layers of a generator or a recovery.

    Those attend from one set of tokens to another, so they carry no weights for a second axis.
    """
    crossing: set[int] = set()
    for setting in settings:
        crossing.update(range(setting.after, setting.after + setting.layers))
        if setting.until is not None and setting.recovery == "attention":
            crossing.add(setting.until - 1)
    return crossing


def check_setting(setting: SemanticConfig, *, depth: int, start: int, grid: Grid) -> None:
    """Refuse a setting that does not fit blocks `start + 1` to `depth`, or the token grid.

    Raises:
        ConfigError: naming the setting, the value and what would fit.
    """
    is_recovered = setting.until is not None and setting.recovery == "attention"
    needed = max(setting.layers + int(is_recovered), int(setting.until is not None))
    stop = depth if setting.until is None else setting.until
    if setting.after < start:
        raise ConfigError(
            f"semantic setting {setting} begins after block {setting.after}, but the tokens of the"
            f" setting before it are not back until block {start}"
        )
    if stop > depth:
        raise ConfigError(
            f"semantic setting {setting} recovers in block {stop}, but the model has {depth}"
        )
    if setting.after + needed > stop:
        needs = f" and needs {needed} block{'s' * (needed > 1)}" if needed else ""
        raise ConfigError(
            f"semantic setting {setting} begins after block {setting.after}{needs}, but ends with"
            f" block {stop};"
            f" {_what_fits(setting, needed, start=start, stop=stop, depth=depth)}"
        )
    check_counts(setting, grid)


def _what_fits(setting: SemanticConfig, needed: int, *, start: int, stop: int, depth: int) -> str:
    """Say where the setting would find the blocks that it needs: earlier, or up to a later end."""
    latest, fits = stop - needed, []
    if latest > start:
        fits.append(f"a block from {start} to {latest}")
    elif latest == start:
        fits.append(str(replace(setting, after=latest)))
    if setting.until is not None and setting.after + needed <= depth:
        fits.append(str(replace(setting, until=setting.after + needed)))
    if fits:
        return f"choose {' or '.join(fits)}"
    return f"the model has {depth - start} for it, after block {start}"
