"""Lists of videos in JSON: records, pairs, or an object of video -> label; also one a line."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stvit_video.datasets.column_names import COLUMN_NAMES, column_of
from stvit_video.datasets.layouts.list_rows import ListRows, row_of
from stvit_video.datasets.layouts.texts import read_text
from stvit_video.errors import DatasetError

_OTHER_LAYOUTS = {
    "template": "read it as ssv2 (Something-Something)",
    "vid_name": "read it as diving48",
    "annotations": "read the csv of the data set, as kinetics400, kinetics600 or kinetics700",
    "database": "no layout reads lists of ActivityNet's kind, with several stretches a video",
}
"""Keys of records that a layout of their own reads."""


def looks_like_json(path: Path) -> bool:
    """Whether a file begins as JSON does, whatever its name."""
    return path.is_file() and read_text(path).lstrip()[:1] in ("[", "{")


def read_json_list(path: Path) -> ListRows:
    """Read a list of records `{video, label}`, of pairs, or an object of video -> label.

    Raises:
        MissingFileError, DatasetError: it is no JSON, of another layout, or a record is no row.
    """
    content = _read(path)
    if isinstance(content, dict):
        _check_layout(content, path)
        content = [{"path": name, "label": label} for name, label in content.items()]
    if not isinstance(content, list) or not content:
        raise DatasetError(f"{path} must be a list of records with video and label, and hold one")
    rows, left_out = [], dict[str, None]()
    for position, record in enumerate(content):
        where = f"{path} record {position}"
        values = _values(record, where)
        left_out |= dict.fromkeys(name for name in values if name not in COLUMN_NAMES)
        rows.append(row_of({name: _text(x, name, where) for name, x in values.items()}, where))
    fields = ", ".join(name for name in _values(content[0], "") if name in COLUMN_NAMES)
    notes = (f"keys that are not read: {', '.join(left_out)}",) if left_out else ()
    return ListRows(rows, fields, notes)


def _read(path: Path) -> Any:
    text = read_text(path)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        fault = error
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, RecursionError):
        raise DatasetError(f"{path} begins as JSON, but is none: {fault}") from fault


def _check_layout(keys: Iterable[str], where: object) -> None:
    for key, step in _OTHER_LAYOUTS.items():
        if key in keys:
            raise DatasetError(f"{where} has {key!r}; {step}")


def _values(record: Any, where: str) -> dict[str, Any]:
    """Return the values of a record by the names of their columns."""
    if isinstance(record, list) and len(record) in (2, 3):
        names = ("path", "label") if len(record) == 2 else ("path", "num_frames", "label")
        return dict(zip(names, record, strict=True))
    if not isinstance(record, dict):
        raise DatasetError(f"{where} must be a record with video and label, or a pair of both")
    _check_layout(record, where)
    values: dict[str, Any] = {}
    for key, value in record.items():
        name = column_of(key)
        if name in values:
            raise DatasetError(f"{where} has several values that could be the {name}; keep one")
        values[name] = value
    if "path" not in values:
        raise DatasetError(
            f"{where} has {', '.join(map(repr, record))}; one must be one of"
            f" {', '.join(COLUMN_NAMES['path'])}"
        )
    return values


def _text(value: Any, name: str, where: str) -> str:
    if name not in COLUMN_NAMES or value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        shown = json.dumps(value)[:40]
        raise DatasetError(
            f"{where}: {name} ({shown}) must be one number or one text; a list with several labels"
            " a video is written as lines and read as multi-label-list"
        )
    return str(value)
