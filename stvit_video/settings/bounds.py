"""What values a setting may have. Its annotation says it, one check reads it.

`epochs: Count = 30` takes whole numbers from 1, `flip: Share = 0.5` numbers in 0..1. A function
among the annotations, as in `Annotated[Path, check_videos]`, looks at the disk: settings may be
made without their files, so it runs only where a command starts, by `check_files`.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    SupportsFloat,
    SupportsIndex,
    Union,
    get_args,
    get_origin,
)

from stvit_video.errors import ConfigError, did_you_mean


class Range(NamedTuple):
    """The numbers that a setting may have; infinity and nan are never among them."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, int | float)
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __repr__(self) -> str:
        """Say the rule as in `must be ...`."""
        if self.least is not None and self.most is not None:
            return f"in {self.least}..{self.most}"
        words = {"at least": self.least, "above": self.above, "at most": self.most}
        given = [f"{k} {v}" for k, v in (words | {"below": self.below}).items() if v is not None]
        return " and ".join(given)


Count = Annotated[int, Range(least=1)]
Whole = Annotated[int, Range(least=0)]
Clips = Annotated[int, Range(least=1, most=1000)]
Stride = Annotated[int, Range(least=1, most=100_000)]
Classes = Annotated[int, Range(least=0, most=100_000)]
Blocks = Annotated[int, Range(least=0, most=100)]
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, most=1)]
PartShare = Annotated[float, Range(least=0, below=1)]
Zoom = Annotated[float, Range(least=1, most=8)]
Percent = Annotated[float, Range(least=0, most=100)]

_UNIONS = (Union, type(int | None))
_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}


class WrongKindError(ConfigError):
    """A value of another type than the setting has."""


def check_settings(section: str, settings: Any) -> None:
    """Check every field of a frozen dataclass; keep text as the path, a list as the tuple it is.

    Raises:
        ConfigError: naming the setting by its dotted path, its value and the rule.
    """
    for field in dataclasses.fields(settings):
        name = f"{section}.{field.name}" if section else field.name
        value = fit_value(name, getattr(settings, field.name), field.type)
        object.__setattr__(settings, field.name, value)


def check_rising(section: str, settings: object, *names: str) -> None:
    """Refuse pairs whose first value is above the second.

    Raises:
        ConfigError: naming the setting and its value.
    """
    for name in names:
        least, most = getattr(settings, name)
        if least > most:
            raise ConfigError(
                f"{section}.{name} ({least}, {most}) must be the least, then the most"
            )


def fit_value(name: str, value: Any, annotation: Any) -> Any:
    """Return the value in the type of the annotation, once it has kept its rules.

    Raises:
        WrongKindError: it is of another type.
        ConfigError: it is out of range.
    """
    fit = _FITS.get(get_origin(annotation), _fit_scalar)
    return fit(name, value, annotation)


def wrong_kind(name: str, value: object, annotation: Any) -> WrongKindError:
    """Make the error that says what the setting takes instead."""
    near = did_you_mean(str(value), _choices(annotation))
    return WrongKindError(f"{name} ({shorten(value)}) must be {describe(annotation)}{near}")


def describe(annotation: Any) -> str:
    """Say in words what a setting takes."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        ranges = [str(rule) for rule in args[1:] if isinstance(rule, Range)]
        return " ".join([describe(args[0]), *ranges])
    if origin in _UNIONS:
        return " or ".join(describe(member) for member in args if member is not type(None))
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is dict:
        return f"names, and for each {describe(args[1])}"
    if origin is list or args[-1:] == (Ellipsis,):
        return f"a list, each {describe(args[0])}"
    if origin is tuple:
        return f"{len(args)} values, each {describe(args[0])}"
    return _WORDS.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


def shorten(value: object) -> str:
    """Write a value as a user would, in one line that is not too long."""
    text = ", ".join(map(str, value)) if isinstance(value, tuple | list) and value else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def check_files(name: str, value: Any, annotation: Any) -> None:
    """Run the functions among the annotations of a setting, and of the settings inside it.

    Raises:
        StvitVideoError: what a function raises.
    """
    if value is None:
        return
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            check_files(f"{name}.{field.name}", getattr(value, field.name), field.type)
        return
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in _UNIONS:
        for member in args:
            check_files(name, value, member)
    elif origin is Annotated:
        for rule in args[1:]:
            if callable(rule):
                rule(name, value)


def _fit_range(name: str, value: Any, annotation: Any) -> Any:
    kind, *rules = get_args(annotation)
    try:
        value = fit_value(name, value, kind)
    except WrongKindError:
        raise wrong_kind(name, value, annotation) from None
    for rule in rules:
        if isinstance(rule, Range) and value not in rule:
            raise ConfigError(f"{name} ({shorten(value)}) must be {rule}")
    return value


def _fit_any(name: str, value: Any, annotation: Any) -> Any:
    for member in get_args(annotation):
        try:
            return fit_value(name, value, member)
        except WrongKindError:
            continue
    raise wrong_kind(name, value, annotation)


def _fit_choice(name: str, value: Any, annotation: Any) -> Any:
    for choice in get_args(annotation):
        if choice == value and type(choice) is type(value):  # True is no 1
            return choice
    raise wrong_kind(name, value, annotation)


def _fit_sequence(name: str, value: Any, annotation: Any) -> Any:
    kinds, origin = get_args(annotation), get_origin(annotation)
    if not isinstance(value, tuple | list):
        raise wrong_kind(name, value, annotation)
    if origin is list or kinds[-1] is Ellipsis:
        if not value:
            raise ConfigError(f"{name} ({value}) must hold at least one value")
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise wrong_kind(name, value, annotation)
    return origin(fit_value(name, item, kind) for item, kind in zip(value, kinds, strict=True))


def _fit_dict(name: str, value: Any, annotation: Any) -> Any:
    if not isinstance(value, dict):
        raise wrong_kind(name, value, annotation)
    kind = get_args(annotation)[1]
    return {key: fit_value(f"{name} of {key}", item, kind) for key, item in value.items()}


def _fit_scalar(name: str, value: Any, kind: Any) -> Any:
    if kind is int and isinstance(value, SupportsIndex) and not isinstance(value, bool):
        return value.__index__()
    if kind is float and isinstance(value, SupportsFloat) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ConfigError(f"{name} ({shorten(value)}) must be finite")
        return number
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if kind not in (int, float) and isinstance(value, kind):
        return value
    raise wrong_kind(name, value, kind)


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    inner = get_args(annotation) if get_origin(annotation) in (*_UNIONS, Annotated) else ()
    return [choice for member in inner for choice in _choices(member)]


_FITS: dict[Any, Callable[[str, Any, Any], Any]] = {
    Annotated: _fit_range,
    **dict.fromkeys(_UNIONS, _fit_any),
    Literal: _fit_choice,
    tuple: _fit_sequence,
    list: _fit_sequence,
    dict: _fit_dict,
}
"""Form of an annotation -> what checks a value against it."""
