"""YAML files of settings, which may be anyone's: looked at before the parser opens them.

One names no other file to read, and overwrites no file that is no result.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from stvit_video.errors import ConfigError
from stvit_video.files import check_output, check_result
from stvit_video.settings.bounds import shorten
from stvit_video.untrusted import read_settings

_RESULTS = (".json", ".csv", ".jsonl", ".md", ".html")
"""Endings of the files that commands write."""


def check_config_files(words: Sequence[str], kinds: Mapping[str, Any]) -> None:
    """Read the files that a command line gives as `--config`, or for a group such as `--model`.

    `kinds` says what there is to set: dotted name -> annotation.

    Raises:
        ConfigError: one is no small YAML file of settings, or names files that it must not.
    """
    for option, path in _named_files(words, kinds):
        settings = read_settings(path, lambda why: ConfigError(f"config file {why}"))
        prefix = "" if option == "config" else f"{option}."
        for name, value in settings.items():
            _check_value(path, f"{prefix}{name}", value, kinds)


def _named_files(words: Sequence[str], kinds: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for number, word in enumerate(words):
        option, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not (option == "config" or _inner(option, kinds)):
            continue
        if not equals:
            value = next(iter(words[number + 1 : number + 2]), "")
        if is_there(value):
            yield option, Path(value)


def is_there(text: str) -> bool:
    """Say whether the text is the path of something; what no path can be is not."""
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):
        return False


def _check_value(path: Path, name: str, value: Any, kinds: Mapping[str, Any]) -> None:
    if name == "config":
        raise ConfigError(
            f"config file {path} has config ({shorten(value)}), but one names no other file; write"
            " its settings out"
        )
    if (inner := _inner(name, kinds)) and not isinstance(value, Mapping | None):
        raise ConfigError(
            f"config file {path}: {name} ({shorten(value)}) must be a group of settings such as"
            f" {inner}"
        )
    is_result = isinstance(value, str) and _writes(kinds.get(name))
    if is_result and is_there(value) and Path(value).suffix not in _RESULTS:
        raise ConfigError(
            f"config file {path}: {name} ({shorten(value)}) is there and no result of a command;"
            " name another file"
        )


def _inner(name: str, kinds: Mapping[str, Any]) -> str:
    """Return a setting of the group `name`; empty where it is no group."""
    return next((kind for kind in kinds if kind.startswith(f"{name}.")), "")


def _writes(kind: Any) -> bool:
    """Say whether a setting is a file that a command writes."""
    return kind in (check_result, check_output) or any(map(_writes, get_args(kind)))
