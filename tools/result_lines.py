"""Results as lines of JSON in one file, which calls of several days and processes add to."""

import json
from pathlib import Path
from typing import Any


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read all lines of a file of results; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, result: dict[str, Any]) -> None:
    """Add a line by one call, so that those of several processes do not mix."""
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(result) + "\n").encode())
