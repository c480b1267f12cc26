"""Small files that came with data or weights: looked at before they are read.

A real one is a regular file of some KB that nests a few levels deep. Anything else is refused at
once: a pipe would hang, a device never ends, brackets by the thousand overflow the parser's stack.
"""

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stvit_video.errors import StvitVideoError
from stvit_video.settings.bounds import shorten

Refusal = Callable[[str], StvitVideoError]
"""Kind of error to raise, as `CheckpointError`."""

MOST_BYTES = 2**20
MOST_JSON_DEPTH = 50
MOST_YAML_DEPTH = 20
MOST_YAML_VALUES = 20_000

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Text in quotes, which may hold brackets, or a bracket; an open quote reaches to the end."""


def read_text(path: Path, refuse: Refusal, *, most: int = MOST_BYTES) -> str:
    """Read a regular file of at most `most` bytes of UTF-8.

    Raises:
        StvitVideoError: by `refuse`, it is none.
        FileNotFoundError: there is none.
    """
    check_regular(path, refuse)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise refuse(f"{path} must be at most {most} bytes, it is {path.stat().st_size}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(f"{path} is no text in UTF-8 (byte {error.start})") from error


def check_regular(path: Path, refuse: Refusal) -> None:
    """Refuse a folder, a pipe or a device, or a link to one. Raises as `read_text`."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS.items() if is_kind(mode)), "a device")
        raise refuse(f"{path} must be a regular file, it is {kind}; put the file there")


def read_json(path: Path, refuse: Refusal, *, most: int = MOST_BYTES) -> Any:
    """Read a file of JSON. Raises as `read_text`."""
    text = read_text(path, refuse, most=most)
    _check_depth(text, path, refuse)
    try:
        return json.loads(text)
    except ValueError as error:
        raise refuse(f"{path} is not JSON ({error})") from error


def read_settings(path: Path, refuse: Refusal) -> dict[str, Any]:
    """Read a YAML file of settings by name: small, and nothing but plain values written out.

    Raises as `read_text`.
    """
    import yaml

    text = read_text(path, refuse)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_yaml(text, loader)
        settings = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise refuse(f"{path} is no YAML of settings ({_tell_yaml(error)})") from error
    except (ValueError, TypeError, OverflowError) as error:  # a number or a date that is none
        raise refuse(f"{path} is no YAML of settings ({shorten(str(error))})") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise refuse(f"{path} must hold settings by name; it holds {shorten(settings)!r}")
    return settings


def _check_yaml(text: str, loader: type[Any], *, is_quoted: bool = False) -> None:
    """Refuse more than settings need, also in the text of a value, which is parsed in its turn."""
    import yaml

    depth = values = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        scalar, is_plain = "", False
        if isinstance(event, yaml.ScalarEvent):
            scalar, is_plain = event.value, event.implicit[0]
        refused = ""
        if getattr(event, "anchor", None) is not None:
            refused = "settings take no anchor (&) and no alias (*); write the values out"
        elif "\0" in scalar:
            refused = "settings hold no NUL character"
        elif scalar == "<<" and is_plain:
            refused = "settings take no merge key (<<); write the values out"
        elif depth > MOST_YAML_DEPTH:
            refused = f"settings must nest at most {MOST_YAML_DEPTH} deep"
        elif values > MOST_YAML_VALUES:
            refused = f"settings must be at most {MOST_YAML_VALUES} values"
        if refused:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=refused, problem_mark=mark)
        if scalar and not is_quoted and any(mark in scalar for mark in "[{&"):
            _check_quoted(scalar, loader)


def _check_quoted(text: str, loader: type[Any]) -> None:
    import yaml

    try:
        _check_yaml(text, loader, is_quoted=True)
    except yaml.MarkedYAMLError as error:
        if str(error.problem).startswith("settings "):
            raise


def _tell_yaml(error: Exception) -> str:
    """Say what is wrong with YAML and in which line, without a piece of the file."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem is None or mark is None:
        return shorten(str(error))
    return f"line {mark.line + 1}: {shorten(problem)}"


def _check_depth(text: str, path: Path, refuse: Refusal) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth > MOST_JSON_DEPTH:
            raise refuse(f"{path} must nest at most {MOST_JSON_DEPTH} deep")


_KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
