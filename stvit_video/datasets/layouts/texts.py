"""Annotation files as text and as CSV."""

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from stvit_video.errors import DatasetError, MissingFileError


def read_text(path: Path, *, what: str = "annotation file") -> str:
    """Read a file in UTF-8, with or without a byte order mark; `what` names it in errors.

    Raises:
        MissingFileError, DatasetError: no such file, empty, or no text.
    """
    if path.is_dir():
        inside = ", ".join(sorted(file.name for file in path.iterdir())[:5])
        raise DatasetError(f"{what} {path} is a folder; give one of its files: {inside}")
    if not path.is_file():
        raise MissingFileError(f"{what} {path} does not exist")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{what} {path} is no text in UTF-8: {error}") from error
    if not text.strip():
        raise DatasetError(f"{what} {path} is empty")
    return text


def read_json(path: Path, *, what: str = "annotation file") -> Any:
    """Read a file of JSON; `what` names it in errors.

    Raises:
        MissingFileError, DatasetError: no such file, or no JSON.
    """
    try:
        return json.loads(read_text(path, what=what))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{what} {path} is no JSON: {error}") from error


def csv_rows(lines: Iterable[str], where: object, *, delimiter: str = ",") -> list[list[str]]:
    """Part lines of CSV into their fields; `where` names the file, or the line, in errors.

    Raises:
        DatasetError: a field is longer than any that lists have, or holds what none can.
    """
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DatasetError(f"{where} is no CSV: {error}") from error


def csv_records(path: Path, needed: Sequence[str], owner: str) -> list[tuple[str, dict[str, str]]]:
    """Read the rows of a CSV file by the names in its header, each with where it stands.

    Missing values are empty, surplus ones left out.

    Raises:
        MissingFileError, DatasetError: no such file, no CSV, without one of the `needed` columns of
            the data set `owner`, or without a row.
    """
    header, *rows = csv_rows(read_text(path).splitlines(), f"annotation file {path}")
    missing = [name for name in needed if name not in header]
    if missing:
        raise DatasetError(f"{path} has no column {missing[0]}; expected those of {owner}")
    records = [
        (f"{path} line {line}", dict(zip_longest(header, row[: len(header)], fillvalue="")))
        for line, row in enumerate(rows, start=2)
        if row
    ]
    if not records:
        raise DatasetError(f"annotation file {path} names no videos, only its columns")
    return records
