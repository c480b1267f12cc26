"""The words of token reduction: semantic settings such as `8x4x4@4`, reducers such as `tome:r=65`.

The only place that reads and writes them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.settings.bounds import Count, Whole, check_settings

Scope = Literal["clip", "tube", "frame"]
CentersName = Literal["grid", "far"]
RecoveryName = Literal["attention", "nearest"]
PoolingName = Literal["max", "avg", "learned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SemanticConfig:
    """Where and how a network clusters its tokens; written `8x4x4@4[-N][,key=value...]`.

    `64@4` is `1x1x64@4,centers=far`: as many tokens, which have no grid.
    """

    grid: tuple[Count, Count, Count]
    """Semantic tokens along time, height and width; with far centres only their number counts, and
    along time where the scope keeps it."""
    after: Whole
    """Blocks that run on all patch tokens before the clustering."""
    until: Count | None = None
    """Recover the patch tokens with block number `until`, counted from 1; None never does."""
    centers: CentersName = "grid"
    """Where the clusters begin: windows of the grid, or the farthest points among the tokens."""
    scope: Scope = "clip"
    """What a semantic token may read: the whole clip, its tube of frames, or its one frame."""
    pool: PoolingName = "max"
    """How the initial centres are pooled from their windows; far centres are means."""
    layers: Whole = 2
    """Blocks that become layers of the generator; in words with far centres 0 where left out."""
    shortcut: bool = True
    """Keep the residual of the pooled centres in the first layer."""
    use_global: bool = True
    """Add learnable global centres before the second layer; in words with far centres not."""
    recovery: RecoveryName = "attention"
    """How patch tokens come back: they read the semantic tokens in a block, or each takes over what
    the blocks changed in its far centre."""

    def __post_init__(self) -> None:
        check_settings("semantic", self)
        needs = [
            (self.layers == 0, "layers=0", "centers=far"),
            (self.recovery == "nearest", "recovery=nearest", "centers=far"),
        ]
        if self.centers == "far":
            needs = [
                (self.pool != "max", f"pool={self.pool}", "centers=grid"),
                (
                    self.recovery == "nearest" and self.until is None,
                    "recovery=nearest",
                    f"a last block, as in {self.grid[2]}@{self.after}-{self.after + 4}",
                ),
            ]
        for is_missing, option, need in needs:
            if is_missing:
                raise ConfigError(f"semantic setting {self} has {option}, which needs {need}")

    def __str__(self) -> str:
        """Write the setting as `parse_semantic` reads it, defaults left out."""
        until = "" if self.until is None else f"-{self.until}"
        is_plain = self.centers == "far" and self.grid[:2] == (1, 1)
        count = str(self.grid[2]) if is_plain else "x".join(map(str, self.grid))
        text = f"{count}@{self.after}{until}"
        for name, default in _defaults(self.centers).items():
            value = getattr(self, name)
            if value != default and not (is_plain and name == "centers"):
                text += f",{name}={str(value).lower()}"
        return text


def _defaults(centers: CentersName) -> dict[str, str | int | bool]:
    """Return what options are where a setting leaves them out."""
    is_grid = centers == "grid"
    return {
        "centers": "grid",
        "scope": "clip",
        "pool": "max",
        "layers": 2 if is_grid else 0,
        "shortcut": True,
        "use_global": is_grid,
        "recovery": "attention",
    }


def parse_semantic(
    text: str, *, defaults: Mapping[str, str] | None = None
) -> tuple[SemanticConfig, ...]:
    """Read `8x4x4@4`, with options `8x4x4@4,scope=tube`, with recovery `1x6x6@1-6+1x6x6@7-12`.

    Units in a row are joined by `+`; each one is a `SemanticConfig`. One without a grid, `64@4`,
    has far centres. `defaults` are options of units that name neither centers nor pool.

    Raises:
        ConfigError: the text is no such setting, or an option or its value is unknown.
    """
    return tuple(_parse_unit(unit, defaults or {}) for unit in text.split("+"))


def _parse_unit(text: str, defaults: Mapping[str, str]) -> SemanticConfig:
    setting, *pairs = text.strip().split(",")
    match = re.fullmatch(r"(?:(\d+)x(\d+)x)?(\d+)@(\d+)(?:-(\d+))?", setting)
    if match is None:
        raise ConfigError(
            f"semantic setting ({text}) must read TxHxW@BLOCK, as in 8x4x4@4:"
            " the semantic grid, and the block after which the tokens are clustered;"
            " or COUNT@BLOCK, as in 64@4"
        )
    t, h, w, after, until = match.groups()
    options: dict[str, str | int | bool] = {} if t else {"centers": "far"}
    known = list(_defaults("grid"))
    for pair in pairs:
        name, _, value = pair.strip().partition("=")
        if name not in known:
            raise ConfigError(
                f"unknown semantic option {name!r} in {text}; known: {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
        options[name] = _option_value(name, value, text)
    if not {"centers", "pool"} & options.keys():
        options = {**defaults, **options}
    centers: CentersName = "far" if options.get("centers") == "far" else "grid"
    if not t and options["centers"] == "grid":
        raise ConfigError(
            f"semantic setting ({text}) has centers=grid, so it must read TxHxW@BLOCK"
        )
    return SemanticConfig(
        grid=(int(t or 1), int(h or 1), int(w)),
        after=int(after),
        until=None if until is None else int(until),
        **(_defaults(centers) | options),  # type: ignore[arg-type]
    )


def _option_value(name: str, value: str, text: str) -> str | int | bool:
    default = _defaults("grid")[name]
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise ConfigError(f"semantic option {name}={value} in {text} must be true or false")
        return value == "true"
    if isinstance(default, int):
        if not value.isdigit():
            raise ConfigError(f"semantic option {name}={value} in {text} must be a whole number")
        return int(value)
    return value


REDUCERS: dict[str, dict[str, str]] = {
    "tome": {"r": "", "schedule": "constant"},
    "random": {"keep": "", "block": "4", "seed": "0"},
    "average": {"grid": "", "block": "4"},
    "evit": {"keep": "", "block": "4+7+10"},
    "dpcknn": {"keep": "", "block": "4", "k": "5"},
    "atc": {"keep": "", "block": "4", "linkage": "average"},
    "rlt": {"threshold": "0.1"},
}
"""Options of every reducer and their defaults; those without one must be given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReducerConfig:
    """A token-reduction method other than ours and its options, as `parse_reducer` reads them."""

    name: str
    """One of `REDUCERS`."""
    options: dict[str, str]
    """Every option of the reducer, as text."""

    def __str__(self) -> str:
        """Write the setting in full."""
        return f"{self.name}:{','.join(f'{k}={v}' for k, v in self.options.items())}"


def parse_reducer(text: str) -> ReducerConfig:
    """Read `NAME:option=value,...`.

    `block=4` reduces inside block 4, counted from 1, between its attention and its MLP; several
    are joined by `+`. `keep` is a number of tokens, or below 1 a share of those that arrive.

    Raises:
        ConfigError: an unknown reducer or option, or an option that is missing.
    """
    name, _, rest = text.strip().partition(":")
    if name not in REDUCERS:
        raise ConfigError(
            f"unknown reduction {name!r}; known: {', '.join(REDUCERS)}"
            f"{did_you_mean(name, list(REDUCERS))}"
        )
    options = dict(REDUCERS[name])
    for pair in filter(None, rest.split(",")):
        option, _, value = pair.strip().partition("=")
        if option not in options:
            raise ConfigError(
                f"unknown option {option!r} of reduction {name}; known: {', '.join(options)}"
                f"{did_you_mean(option, list(options))}"
            )
        options[option] = value
    missing = [option for option, value in options.items() if not value]
    if missing:
        example = _EXAMPLES.get(name, f"{name}:keep=128,block=4")
        raise ConfigError(f"reduction {text} must set {missing[0]}, as in {example}")
    return ReducerConfig(name=name, options=options)


_EXAMPLES = {"tome": "tome:r=65", "average": "average:grid=8x4x4,block=4"}
