"""Which rival, where and how strong: `tome:r=65`, `random:keep=128,block=4`.

Legend: N tokens that reach a block.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.reducers.agglomerative import Agglomeration, Linkage
from stvit_video.tokens.reducers.average_pooling import WindowAverage
from stvit_video.tokens.reducers.dpc_knn import DensityPeaks
from stvit_video.tokens.reducers.evit import ClassAttentionTopK
from stvit_video.tokens.reducers.random_drop import RandomDrop
from stvit_video.tokens.reducers.reducer import Reducer
from stvit_video.tokens.reducers.tome import Schedule, TokenMerging, max_merges, merge_schedule
from stvit_video.tokens.windows import check_windows

Method = Literal["tome", "random", "average", "evit", "dpcknn", "atc", "rlt"]

METHODS: dict[str, dict[str, str]] = {
    "tome": {"r": "", "schedule": "constant"},
    "random": {"keep": "", "block": "4", "seed": "0"},
    "average": {"grid": "", "block": "4"},
    "evit": {"keep": "", "block": "4+7+10"},
    "dpcknn": {"keep": "", "block": "4", "k": "5"},
    "atc": {"keep": "", "block": "4", "linkage": "average"},
    "rlt": {"threshold": "0.1"},
}
"""Options of every method and their defaults; those without one must be given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReductionSetting:
    """A rival method and its options, as `parse_reduction` reads them."""

    method: Method
    options: dict[str, str]
    """Every option of the method, as text."""

    def __str__(self) -> str:
        """Write the setting in full."""
        return f"{self.method}:{','.join(f'{k}={v}' for k, v in self.options.items())}"


def parse_reduction(text: str) -> ReductionSetting:
    """Read `METHOD:option=value,...`.

    `block=4` reduces inside block 4, counted from 1, between its attention and its MLP; several
    are joined by `+`. `keep` is a number of tokens, or below 1 a share of those that arrive.

    Raises:
        ConfigError: an unknown method or option, or one that is missing.
    """
    method, _, rest = text.strip().partition(":")
    if method not in METHODS:
        raise ConfigError(
            f"unknown reduction {method!r}; known: {', '.join(METHODS)}"
            f"{did_you_mean(method, list(METHODS))}"
        )
    options = dict(METHODS[method])
    for pair in filter(None, rest.split(",")):
        name, _, value = pair.strip().partition("=")
        if name not in options:
            raise ConfigError(
                f"unknown option {name!r} of reduction {method}; known: {', '.join(options)}"
                f"{did_you_mean(name, list(options))}"
            )
        options[name] = value
    missing = [name for name, value in options.items() if not value]
    if missing:
        raise ConfigError(f"reduction {text} must set {missing[0]}, as in {_example(method)}")
    return ReductionSetting(method=method, options=options)  # type: ignore[arg-type]


def build_reducers(
    setting: ReductionSetting, *, depth: int, grid: Grid, num_class_tokens: int
) -> dict[int, Reducer]:
    """Make the reduction steps of a network: block number from 0 -> step.

    Raises:
        ConfigError: an option does not fit the network's depth or tokens.
    """
    if setting.method == "evit" and num_class_tokens != 1:
        raise ConfigError(
            "evit chooses by the class token and wants just one, but this model has"
            f" {num_class_tokens}; "
            + ("use tome" if num_class_tokens else "create it with class_token")
        )
    if setting.method == "tome":
        return _merging_steps(setting, depth, grid.size, num_class_tokens)
    reducers: dict[int, Reducer] = {}
    num_tokens = grid.size
    for block in _blocks(setting, depth):
        reducers[block] = _step(setting, grid, num_tokens)
        if setting.method != "average":
            num_tokens = _num_kept(setting, num_tokens) + int(setting.method == "evit")
    return reducers


def rlt_threshold(setting: ReductionSetting) -> float:
    """Return the threshold of run-length tokens, in units of normalised pixels."""
    return _number(setting, "threshold")


def _merging_steps(
    setting: ReductionSetting, depth: int, num_tokens: int, num_class_tokens: int
) -> dict[int, Reducer]:
    schedule = setting.options["schedule"]
    if schedule not in get_args(Schedule):
        raise ConfigError(
            f"tome schedule ({schedule}) must be one of {', '.join(get_args(Schedule))}"
        )
    steps: dict[int, Reducer] = {}
    total = num_tokens + num_class_tokens
    merges = merge_schedule(int(_number(setting, "r")), depth, schedule)  # type: ignore[arg-type]
    for block, wanted in enumerate(merges):
        r = max_merges(total, wanted, num_class_tokens=num_class_tokens)
        total -= r
        if r:
            steps[block] = TokenMerging(r)
    return steps


def _step(setting: ReductionSetting, grid: Grid, num_tokens: int) -> Reducer:
    match setting.method:
        case "average":
            pooled = _pooled_grid(setting)
            check_windows(grid, pooled)
            return WindowAverage(pooled)
        case "random":
            seed = int(_number(setting, "seed"))
            return RandomDrop(num_tokens, _num_kept(setting, num_tokens), seed=seed)
        case "evit":
            return ClassAttentionTopK(_num_kept(setting, num_tokens))
        case "dpcknn":
            neighbours = int(_number(setting, "k"))
            return DensityPeaks(_num_kept(setting, num_tokens), num_neighbours=neighbours)
        case "atc":
            linkage = setting.options["linkage"]
            if linkage not in get_args(Linkage):
                raise ConfigError(
                    f"atc linkage ({linkage}) must be one of {', '.join(get_args(Linkage))}"
                )
            return Agglomeration(_num_kept(setting, num_tokens), linkage=linkage)  # type: ignore[arg-type]
    raise ConfigError(f"reduction {setting.method} has no steps inside blocks")


def _blocks(setting: ReductionSetting, depth: int) -> list[int]:
    blocks = []
    for text in setting.options["block"].split("+"):
        if not text.isdigit() or not 1 <= int(text) <= depth:
            raise ConfigError(
                f"block ({text}) of reduction {setting} must be from 1 to {depth}, as in block=4+7"
            )
        blocks.append(int(text) - 1)
    if len(blocks) > 1 and setting.method == "average":
        raise ConfigError(f"reduction {setting} must name one block")
    return sorted(blocks)


def _num_kept(setting: ReductionSetting, num_tokens: int) -> int:
    keep = _number(setting, "keep")
    kept = math.ceil(keep * num_tokens) if keep < 1 else int(keep)
    if not 0 < kept < num_tokens:
        raise ConfigError(
            f"keep ({setting.options['keep']}) of reduction {setting} must be above 0 and below the"
            f" {num_tokens} tokens that arrive"
        )
    return kept


def _pooled_grid(setting: ReductionSetting) -> Grid:
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", setting.options["grid"])
    if match is None:
        raise ConfigError(f"grid ({setting.options['grid']}) of reduction average must read TxHxW")
    t, h, w = map(int, match.groups())
    return Grid(t, h, w)


def _number(setting: ReductionSetting, name: str) -> float:
    try:
        return float(setting.options[name])
    except ValueError as error:
        raise ConfigError(
            f"{name} ({setting.options[name]}) of reduction {setting.method} must be a number"
        ) from error


def _example(method: str) -> str:
    return {
        "tome": "tome:r=65",
        "average": "average:grid=8x4x4,block=4",
    }.get(method, f"{method}:keep=128,block=4")
