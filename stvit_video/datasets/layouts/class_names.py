"""Names of classes: files of them, and how they are spelled."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from stvit_video.datasets.layouts.texts import csv_rows, read_text
from stvit_video.errors import DatasetError, did_you_mean


class ClassIndex:
    """Looks up class indices by name, spelled with spaces or underscores, quoted or not, in
    capitals or not.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = class_names
        self._exact = {name: index for index, name in enumerate(class_names)}
        self._spelled = {spelling(name).casefold(): index for index, name in enumerate(class_names)}

    def find(self, name: str, *, where: str) -> int:
        """Return the index of a class; `where` says which row the name comes from.

        Raises:
            DatasetError: there is no such class.
        """
        index = self._exact.get(name, self._spelled.get(spelling(name).casefold()))
        if index is None:
            raise DatasetError(
                f"{where}: label {name!r} is none of the {len(self.class_names)} classes"
                f"{did_you_mean(name, list(self.class_names))}"
            )
        return index


def spelling(name: str) -> str:
    """Bring the ways to write a class name to one: spaces for underscores, no double quotes."""
    return " ".join(name.replace("_", " ").replace('"', " ").split())


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read the names of classes in the order of their index.

    Forms: one name a line, `index name` (from 0 or 1), a CSV file with the columns id and name, a
    JSON list, or a JSON object of name -> index or index -> name.

    Raises:
        MissingFileError, DatasetError: no such file, or it is none of these.
    """
    text = read_text(path, what="file of class names")
    if path.suffix.lower() == ".json":
        names = _names_of_json(path, text)
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if path.suffix.lower() == ".csv":
            lines = [" ".join(row[:2]) if len(row) > 1 else row[0] for row in csv_rows(lines, path)]
            if lines and not re.match(r"\d+ ", lines[0]) and _numbered(lines[1:]):
                lines = lines[1:]
        names = _numbered(lines) or lines
    if not names:
        raise DatasetError(f"class names {path} hold no name")
    doubled = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if doubled is not None:
        raise DatasetError(f"class names {path} hold {doubled!r} twice")
    return tuple(names)


def _numbered(lines: Sequence[str]) -> list[str]:
    """Names of lines `0 a`, `1 b` (or from 1); nothing where they are not all so."""
    matches = [re.fullmatch(r"(\d+)[\s,;:]+(.+)", line) for line in lines]
    pairs = sorted((int(m[1]), m[2].strip()) for m in matches if m)
    first = pairs[0][0] if pairs else 0
    expected = list(range(first, first + len(lines)))
    if first > 1 or [number for number, _ in pairs] != expected:
        return []
    return [name for _, name in pairs]


def _names_of_json(path: Path, text: str) -> list[str]:
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"class names {path} are no JSON: {error}") from error
    if isinstance(content, list):
        return [str(name) for name in content]
    if not isinstance(content, dict):
        raise DatasetError(f"class names {path} must be a list or an object of name and index")
    if all(str(key).isdecimal() for key in content) and not all(
        str(value).isdecimal() for value in content.values()
    ):
        content = {str(value): key for key, value in content.items()}
    index_of = {name: int(index) for name, index in content.items() if str(index).isdecimal()}
    if sorted(index_of.values()) != list(range(len(content))):
        raise DatasetError(f"class names {path} must give each of 0..{len(content) - 1} once")
    return sorted(index_of, key=lambda name: index_of[name])
