"""The lines of a list of videos, read alike: the fields of the first decide those of all.

`path`, `path label` or `path num_frames label`, separated by spaces, tabs, commas or semicolons; or
any columns with a header that names them. Paths hold spaces and commas: the end of a path is the
last video suffix in its line, and only without one is the line read from the right.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.column_names import COLUMN_NAMES, UNCLEAR, column_of
from stvit_video.datasets.layouts.class_folders import VIDEO_SUFFIXES
from stvit_video.datasets.layouts.stretches import WHOLE, Stretch, parse_stretch
from stvit_video.datasets.layouts.texts import csv_rows, read_text
from stvit_video.errors import DatasetError

_SUFFIX = "|".join(suffix[1:] for suffix in VIDEO_SUFFIXES)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_WITH_SUFFIX = re.compile(rf"(?i)(?P<path>.*\.(?:{_SUFFIX}))(?P<rest>[\s,;]+.*)?")
_FROM_THE_RIGHT = re.compile(r"(?P<path>.*?)(?P<rest>(?:[\s,;]+-?\d+){0,2})")
_FRAMES_AND_LABEL = re.compile(r'"?(?P<frames>\d+)"?(?P<separator>[\s,;]+)(?P<label>.+)')
_SEVERAL_NUMBERS = re.compile(r"-?\d+(?:[\s,;|]+-?\d+)+")
_NUMBERED = re.compile(r"\s*(\d+)\s*[,;\t]")


class ListRow(NamedTuple):
    """One line of a list."""

    path: str
    label: str
    """Empty where the list gives none."""
    num_frames: int = -1
    """-1 where the list gives none."""
    stretch: Stretch = WHOLE
    """What of the file counts."""
    where: str = ""
    """File and number of the line."""

    @property
    def fields(self) -> str:
        """What its line holds."""
        if self.num_frames >= 0:
            return "path, num_frames, label"
        return "path, label" if self.label else "path"


class ListRows(NamedTuple):
    """All lines of a list."""

    rows: list[ListRow]
    fields: str
    """What its lines hold, such as `path, num_frames, label`."""
    notes: tuple[str, ...] = ()
    """Columns and lines that were not read."""


class _Header(NamedTuple):
    delimiter: str
    columns: list[str]


def read_list_lines(path: Path) -> ListRows:
    """Read a list of lines, whatever its separator and columns.

    Raises:
        MissingFileError, DatasetError: no such file, empty, a header that says no path or one thing
            twice, lines that differ in their fields, or a video with several labels.
    """
    lines, comments = _numbered_lines(path)
    header = _header(list(lines.values()))
    if header is not None:
        del lines[next(iter(lines))]
        _check_header(header, path, is_empty=not lines)
        rows = [_read_columns(header, line, where) for where, line in lines.items()]
        fields = ", ".join(column for column in header.columns if column in COLUMN_NAMES)
    else:
        _check_first_lines(path, list(lines.values()))
        rows = [_read_line(line, where) for where, line in lines.items()]
        fields = rows[0].fields
        for row, line in zip(rows, lines.values(), strict=True):
            _check_fields(row, fields, line)
    for row in rows:
        _check_row(row)
    left_out = [column or "one without a name" for column in header.columns] if header else []
    left_out = [column for column in left_out if column not in COLUMN_NAMES]
    notes = [f"columns that are not read: {', '.join(left_out)}"] if left_out else []
    if comments:
        notes.append(f"{comments} line{'s' * (comments > 1)} that begin with # left out")
    return ListRows(rows, fields, tuple(notes))


def split_line(line: str) -> tuple[str, str]:
    """Part the path from what follows it: `a, b.mp4, 3` -> `a, b.mp4` and `, 3`."""
    if quoted := _QUOTED.match(line):
        return quoted[0][1:-1].replace('""', '"'), line[quoted.end() :]
    match = _WITH_SUFFIX.fullmatch(line) or _FROM_THE_RIGHT.fullmatch(line)
    assert match is not None  # the second pattern takes any line
    return match["path"], match["rest"] or ""


def _numbered_lines(path: Path) -> tuple[dict[str, str], int]:
    """Return the lines by where they stand, and how many are comments."""
    lines: dict[str, str] = {}
    comments = 0
    for number, text in enumerate(read_text(path).splitlines(), start=1):
        line = text.strip()
        if line.startswith("#") and not _has_video(line):
            names = line.lstrip("# \t")
            if lines or _header([names]) is None:
                comments += 1
                continue
            line = names
        if line:
            lines[f"{path} line {number}"] = line
    if not lines:
        raise DatasetError(f"{path} names no videos, only comments")
    return lines, comments


def _has_video(line: str) -> bool:
    return _WITH_SUFFIX.fullmatch(line.replace('"', "")) is not None


def _header(lines: list[str]) -> _Header | None:
    """Delimiter and columns of the first line, if its words are names of columns."""
    if _has_video(lines[0]):
        return None
    for delimiter in (",", "\t", ";", " "):
        words = lines[0].split(delimiter)
        if delimiter == " ":
            words = lines[0].split()
        columns = [column_of(word) for word in words]
        if len(columns) > 1 and any(column in COLUMN_NAMES for column in columns):
            return _Header(delimiter, columns)
    single = column_of(lines[0])
    return _Header(",", [single]) if len(lines) > 1 and single in COLUMN_NAMES else None


def _check_header(header: _Header, path: Path, *, is_empty: bool) -> None:
    columns = header.columns
    if "path" not in columns:
        raise DatasetError(
            f"{path} has the header {header.delimiter.join(columns)!r}; one column must be one of"
            f" {', '.join(COLUMN_NAMES['path'])}"
        )
    for column in columns:
        if column in COLUMN_NAMES and columns.count(column) > 1:
            raise DatasetError(
                f"{path} has several columns that could be the {column}; keep one of"
                f" {', '.join(COLUMN_NAMES[column])}"
            )
        if column in UNCLEAR:
            name = UNCLEAR[column]
            raise DatasetError(
                f"{path} has the column {column!r}, which could be seconds or frames; call it"
                f" {name}_seconds or {name}_frame"
            )
    if is_empty:
        raise DatasetError(f"{path} names no videos, only its columns")


def _check_first_lines(path: Path, lines: list[str]) -> None:
    """Refuse a header of unknown words, and lines that begin with their own number."""
    if len(lines) > 1 and not _has_video(lines[0]) and all(map(_has_video, lines[1:])):
        raise DatasetError(
            f"{path} begins with {lines[0]!r}, which names no video and no column; call the columns"
            f" {', '.join(COLUMN_NAMES)}"
        )
    numbers = [int(match[1]) for line in lines if (match := _NUMBERED.match(line))]
    first = numbers[0] if numbers else 2
    if first < 2 and len(lines) > 1 and numbers == list(range(first, first + len(lines))):
        raise DatasetError(
            f"{path} begins each line with its number; write it without an index column"
            " (pandas: index=False), or with a header such as id,path,label"
        )


def _read_columns(header: _Header, line: str, where: str) -> ListRow:
    if header.columns == ["path", "label"]:
        path, rest = split_line(line)
        return ListRow(path, rest.strip(' \t,;"'), where=where)
    if header.columns in (["path"], ["path", "num_frames", "label"]):
        row = _read_line(line, where)
        _check_fields(row, ", ".join(header.columns), line)
        return row
    (fields,) = csv_rows([line], where, delimiter=header.delimiter)
    if len(fields) != len(header.columns):
        raise DatasetError(
            f"{where} ({line}) has {len(fields)} fields, but its header {len(header.columns)}:"
            f" {', '.join(header.columns)}; put quotes around a field that holds the separator"
        )
    return row_of(dict(zip(header.columns, map(str.strip, fields), strict=True)), where)


def row_of(values: Mapping[str, str], where: str) -> ListRow:
    """Make a row of values by the names of their columns.

    Raises:
        DatasetError: a count of frames, or a stretch, is none.
    """
    frames = values.get("num_frames", "")
    if frames not in ("", "-1") and not frames.isdecimal():
        raise DatasetError(f"{where}: num_frames ({frames}) must be a whole number")
    return ListRow(
        values["path"],
        values.get("label", ""),
        int(frames) if frames else -1,
        parse_stretch(values, where),
        where,
    )


def _check_fields(row: ListRow, expected: str, line: str) -> None:
    if row.fields != expected:
        raise DatasetError(
            f"{row.where} ({line}) reads as {row.fields}, but the lines above as {expected};"
            " write all lines alike, or name the columns in a header such as path,label"
        )


def _check_row(row: ListRow) -> None:
    if _SEVERAL_NUMBERS.fullmatch(row.label):
        raise DatasetError(
            f"{row.where}: label ({row.label}) must be one number or one name; keep one label a"
            " video, and one separator between all fields, read it as multi-label-list, or name"
            " the columns in a header such as path,start_frame,end_frame,label"
        )
    if row.num_frames == 0:
        raise DatasetError(
            f"{row.where}: num_frames (0) must be at least 1; where both numbers are labels, read"
            " it as multi-label-list"
        )
    if not row.path:
        raise DatasetError(f"{row.where}: the path is empty")


def _read_line(line: str, where: str) -> ListRow:
    path, rest = split_line(line)
    label, num_frames = _label_and_frames(rest)
    return ListRow(path, label, num_frames, where=where)


def _label_and_frames(rest: str) -> tuple[str, int]:
    """Read `label` or `num_frames label`, of which the label may be a name with spaces.

    What is separated otherwise than it is from the path is one field: the label of `a.mp4 1,2` is
    `1,2`.
    """
    fields = rest.strip(" \t,;")
    match = None if _QUOTED.fullmatch(fields) else _FRAMES_AND_LABEL.fullmatch(fields)
    if match is None or _separator(match["separator"]) != _separator(rest):
        return fields.strip('"'), -1
    return match["label"].strip('"'), int(match["frames"])


def _separator(text: str) -> str:
    """What separates: the first comma or semicolon among the blanks that begin `text`, or one."""
    return text.lstrip()[:1] if text.lstrip()[:1] in (",", ";") else " "
