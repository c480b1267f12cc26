"""Write results as JSON: to a file in one step, or to standard output for `-`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from stvit_video.files import write_file
from stvit_video.report.notebook import in_notebook, notebook_console
from stvit_video.visible import visible


def write_json(result: Any, destination: str | Path | None) -> None:
    """Write a dataclass, or lists and dictionaries of them; `-` is standard output, None nothing.

    A file appears under its name only once it is complete.
    """
    if destination is None:
        return
    text = json.dumps(as_plain(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(destination) == "-":
        sys.stdout.write("\n".join(map(_visible_json, text.split("\n"))))
    else:  # a name that is no text, as JSON writes it
        write_file(destination, text.encode(errors="backslashreplace"))


def json_line(result: Any) -> str:
    """Write a result as JSON in one line that a terminal shows as text."""
    return _visible_json(json.dumps(as_plain(result), ensure_ascii=False, allow_nan=False))


def _visible_json(line: str) -> str:
    """Write what `visible` would change as JSON does: the value stays what it was."""
    if visible(line) == line:
        return line
    return "".join(c if visible(c) == c else json.dumps(c)[1:-1] for c in line)


def result_console(destination: str | Path | None = None) -> Console:
    """Console for tables: standard output, or standard error when the JSON goes to the former.

    In a notebook it is one output of the cell.
    """
    if in_notebook():
        return notebook_console()
    return Console(stderr=str(destination) == "-", highlight=False)


def as_plain(value: Any) -> Any:
    """Turn dataclasses, tuples and paths into dictionaries, lists and text, all the way down."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
