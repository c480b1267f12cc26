"""The reducers: from the words of a setting to the steps of a network. One row a reducer.

Legend: N tokens that reach a block.
"""

import math
import re
from collections.abc import Callable
from typing import get_args

from stvit_video.errors import ConfigError
from stvit_video.settings.grammar import ReducerConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.reducers.agglomerative import Agglomeration, Linkage
from stvit_video.tokens.reducers.average_pooling import WindowAverage
from stvit_video.tokens.reducers.dpc_knn import DensityPeaks
from stvit_video.tokens.reducers.evit import ClassAttentionTopK
from stvit_video.tokens.reducers.random_drop import RandomDrop
from stvit_video.tokens.reducers.reducer import Reducer
from stvit_video.tokens.reducers.tome import Schedule, TokenMerging, max_merges, merge_schedule
from stvit_video.tokens.windows import check_windows

Steps = dict[int, Reducer]
"""Block number from 0 -> the reduction inside that block."""


def build_reducers(
    setting: ReducerConfig, *, depth: int, grid: Grid, num_class_tokens: int
) -> Steps:
    """Make the reduction steps of a network.

    Raises:
        ConfigError: an option does not fit the network's depth or tokens.
    """
    if setting.name == "evit" and num_class_tokens != 1:
        raise ConfigError(
            "evit chooses by the class token and wants just one, but this model has"
            f" {num_class_tokens}; "
            + ("use tome" if num_class_tokens else "create it with class_token")
        )
    if setting.name == "tome":
        return _merging_steps(setting, depth, grid.size, num_class_tokens)
    if setting.name not in STEPS:
        raise ConfigError(f"reduction {setting.name} has no steps inside blocks")
    steps: Steps = {}
    num_tokens = grid.size
    for block in _blocks(setting, depth):
        steps[block] = STEPS[setting.name](setting, grid, num_tokens)
        if "keep" in setting.options:
            num_tokens = _num_kept(setting, num_tokens) + int(setting.name == "evit")
    return steps


def rlt_threshold(setting: ReducerConfig) -> float:
    """Return the threshold of run-length tokens, in units of normalised pixels."""
    return _number(setting, "threshold")


def _merging_steps(
    setting: ReducerConfig, depth: int, num_tokens: int, num_class_tokens: int
) -> Steps:
    schedule = _choice(setting, "schedule", get_args(Schedule))
    steps: Steps = {}
    total = num_tokens + num_class_tokens
    merges = merge_schedule(int(_number(setting, "r")), depth, schedule)  # type: ignore[arg-type]
    for block, wanted in enumerate(merges):
        r = max_merges(total, wanted, num_class_tokens=num_class_tokens)
        total -= r
        if r:
            steps[block] = TokenMerging(r)
    return steps


def _average(setting: ReducerConfig, grid: Grid, num_tokens: int) -> Reducer:
    pooled = _pooled_grid(setting)
    check_windows(grid, pooled)
    return WindowAverage(pooled)


def _random(setting: ReducerConfig, grid: Grid, num_tokens: int) -> Reducer:
    seed = int(_number(setting, "seed"))
    return RandomDrop(num_tokens, _num_kept(setting, num_tokens), seed=seed)


def _evit(setting: ReducerConfig, grid: Grid, num_tokens: int) -> Reducer:
    return ClassAttentionTopK(_num_kept(setting, num_tokens))


def _dpcknn(setting: ReducerConfig, grid: Grid, num_tokens: int) -> Reducer:
    neighbours = int(_number(setting, "k"))
    return DensityPeaks(_num_kept(setting, num_tokens), num_neighbours=neighbours)


def _atc(setting: ReducerConfig, grid: Grid, num_tokens: int) -> Reducer:
    linkage = _choice(setting, "linkage", get_args(Linkage))
    return Agglomeration(_num_kept(setting, num_tokens), linkage=linkage)  # type: ignore[arg-type]


STEPS: dict[str, Callable[[ReducerConfig, Grid, int], Reducer]] = {
    "average": _average,
    "random": _random,
    "evit": _evit,
    "dpcknn": _dpcknn,
    "atc": _atc,
}
"""Reducers that work inside a block of N tokens, by name: setting, grid, N -> the step."""


def _blocks(setting: ReducerConfig, depth: int) -> list[int]:
    blocks = []
    for text in setting.options["block"].split("+"):
        if not text.isdigit() or not 1 <= int(text) <= depth:
            raise ConfigError(
                f"block ({text}) of reduction {setting} must be from 1 to {depth}, as in block=4+7"
            )
        blocks.append(int(text) - 1)
    if len(blocks) > 1 and setting.name == "average":
        raise ConfigError(f"reduction {setting} must name one block")
    return sorted(blocks)


def _num_kept(setting: ReducerConfig, num_tokens: int) -> int:
    keep = _number(setting, "keep")
    kept = math.ceil(keep * num_tokens) if keep < 1 else int(keep)
    if not 0 < kept < num_tokens:
        raise ConfigError(
            f"keep ({setting.options['keep']}) of reduction {setting} must be above 0 and below the"
            f" {num_tokens} tokens that arrive"
        )
    return kept


def _pooled_grid(setting: ReducerConfig) -> Grid:
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", setting.options["grid"])
    if match is None:
        raise ConfigError(f"grid ({setting.options['grid']}) of reduction average must read TxHxW")
    t, h, w = map(int, match.groups())
    return Grid(t, h, w)


def _number(setting: ReducerConfig, name: str) -> float:
    try:
        return float(setting.options[name])
    except ValueError as error:
        raise ConfigError(
            f"{name} ({setting.options[name]}) of reduction {setting.name} must be a number"
        ) from error


def _choice(setting: ReducerConfig, name: str, known: tuple[str, ...]) -> str:
    value = setting.options[name]
    if value not in known:
        raise ConfigError(f"{setting.name} {name} ({value}) must be one of {', '.join(known)}")
    return value
