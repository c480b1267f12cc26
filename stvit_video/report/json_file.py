"""Write results as JSON: to a file in one step, or to standard output for `-`."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console


def write_json(result: Any, destination: Path | None) -> None:
    """Write a dataclass, or lists and dictionaries of them; `-` is standard output, None nothing.

    A file appears under its name only once it is complete.
    """
    if destination is None:
        return
    text = json.dumps(_plain(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(destination) == "-":
        sys.stdout.write(text)
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial_path = destination.with_name(f".{destination.name}.{os.getpid()}")
    partial_path.write_text(text, encoding="utf-8")
    os.replace(partial_path, destination)


def result_console(destination: Path | None = None) -> Console:
    """Console for tables: standard output, or standard error when the JSON goes to the former."""
    return Console(stderr=str(destination) == "-", highlight=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
