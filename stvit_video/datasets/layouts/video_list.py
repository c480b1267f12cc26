"""Lists of videos as people pass them around, one video a line.

`path`, `path label` or `path num_frames label`, the same on all lines, separated by spaces, tabs
or commas, with a header or without, the label an index or a name. Paths hold spaces and commas: the
end of a path is the last video suffix in its line, and only without one is the line read from the
right.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.layouts.annotations import (
    AnnotatedVideo,
    AnnotatedVideos,
    ClassIndex,
    read_class_names,
    read_text,
)
from stvit_video.datasets.layouts.class_folders import VIDEO_SUFFIXES
from stvit_video.errors import DatasetError, MissingFileError

_COLUMNS = {
    "path": ("path", "video", "video_path", "file", "filename", "file_name", "filepath", "name"),
    "label": ("label", "class", "class_name", "class_id", "label_id", "category", "action", "y"),
    "num_frames": ("num_frames", "frames", "n_frames", "total_frames", "frame_count"),
}
_SUFFIX = "|".join(suffix[1:] for suffix in VIDEO_SUFFIXES)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_WITH_SUFFIX = re.compile(rf"(?i)(?P<path>.*\.(?:{_SUFFIX}))(?P<rest>[\s,;]+.*)?")
_FROM_THE_RIGHT = re.compile(r"(?P<path>.*?)(?P<rest>(?:[\s,;]+-?\d+){0,2})")
_FRAMES_AND_LABEL = re.compile(r'"?(?P<frames>\d+)"?(?P<separator>[\s,;]+)(?P<label>.+)')
_SEVERAL_NUMBERS = re.compile(r"-?\d+(?:[\s,;|]+-?\d+)+")


class ListRow(NamedTuple):
    """One line of a list."""

    path: str
    label: str
    """Empty where the list gives none."""
    num_frames: int
    """-1 where the list gives none."""

    @property
    def fields(self) -> str:
        """What its line holds."""
        if self.num_frames >= 0:
            return "path, num_frames, label"
        return "path, label" if self.label else "path"


class _Header(NamedTuple):
    delimiter: str
    columns: list[str]


def read_video_list(path: Path) -> list[ListRow]:
    """Read a list, whatever its separator and columns.

    Raises:
        MissingFileError, DatasetError: no such file, empty, a header that says no path, lines that
            differ in their fields, or a video with several labels.
    """
    numbered = enumerate(read_text(path).splitlines(), start=1)
    lines = {f"{path} line {number}": line.strip() for number, line in numbered if line.strip()}
    first = next(iter(lines))
    header = _header(list(lines.values()))
    if header is not None:
        if "path" not in header.columns:
            raise DatasetError(
                f"{path} has the header {lines[first]!r}; one column must be one of"
                f" {', '.join(_COLUMNS['path'])}"
            )
        if len(lines) == 1:
            raise DatasetError(f"{path} names no videos, only its columns")
        del lines[first]
        rows = {where: _read_columns(header, line, where) for where, line in lines.items()}
    else:
        rows = {where: _read_line(line) for where, line in lines.items()}
        for where, row in rows.items():
            _check_fields(row, rows[first].fields, lines[where], where)
    for where, row in rows.items():
        if _SEVERAL_NUMBERS.fullmatch(row.label):
            raise DatasetError(
                f"{where}: label ({row.label}) must be one number or one name; keep one label a"
                " video, and one separator between all fields, or read it as multi-label-list"
            )
    return list(rows.values())


def find_video_list(
    root: Path, list_path: Path, *, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of a list, whose paths are absolute or relative to `root`.

    Labels are indices, or names of which `labels_path` gives the order (without it: sorted).

    Raises:
        MissingFileError, DatasetError: no such file or folder, or a label outside the classes.
    """
    if not root.is_dir():
        raise MissingFileError(f"video folder {root} does not exist")
    rows = read_video_list(list_path)
    class_names = _class_names(rows, labels_path)
    classes = ClassIndex(class_names)
    videos = []
    for row in rows:
        path = root / row.path
        label = _label(row.label, classes, where=f"{list_path}, {row.path}")
        videos.append(
            AnnotatedVideo(row.path, label, path if path.is_file() else None, row.num_frames)
        )
    return AnnotatedVideos(tuple(videos), class_names)


def _header(lines: Sequence[str]) -> _Header | None:
    """Delimiter and columns of the first line, if its words are names of columns."""
    for delimiter in (",", "\t", ";", " "):
        words = [word.strip().strip('"').lower() for word in lines[0].split(delimiter)]
        columns = [
            next((column for column, names in _COLUMNS.items() if word in names), word)
            for word in words
            if word
        ]
        if len(columns) > 1 and any(column in _COLUMNS for column in columns):
            has_video = _WITH_SUFFIX.fullmatch(lines[0].replace('"', "")) is not None
            return None if has_video else _Header(delimiter, columns)
    single = lines[0].strip('"').lower()
    if len(lines) > 1 and any(single in names for names in _COLUMNS.values()):
        return _Header(",", ["path" if single in _COLUMNS["path"] else single])
    return None


def _read_columns(header: _Header, line: str, where: str) -> ListRow:
    if header.columns == ["path", "label"]:
        path, rest = split_line(line)
        return ListRow(path, rest.strip(' \t,;"'), -1)
    if header.columns in (["path"], ["path", "num_frames", "label"]):
        row = _read_line(line)
        _check_fields(row, ", ".join(header.columns), line, where)
        return row
    (fields,) = csv.reader([line], delimiter=header.delimiter, skipinitialspace=True)
    if len(fields) != len(header.columns):
        raise DatasetError(
            f"{where} ({line}) has {len(fields)} fields, but its header {len(header.columns)}:"
            f" {', '.join(header.columns)}; put quotes around a field that holds the separator"
        )
    values = dict(zip(header.columns, (field.strip() for field in fields), strict=True))
    frames = values.get("num_frames", "")
    return ListRow(
        values["path"], values.get("label", ""), int(frames) if frames.isdecimal() else -1
    )


def _check_fields(row: ListRow, expected: str, line: str, where: str) -> None:
    if row.fields != expected:
        raise DatasetError(
            f"{where} ({line}) reads as {row.fields}, but the lines above as {expected};"
            " write all lines alike, or name the columns in a header such as path,label"
        )


def _read_line(line: str) -> ListRow:
    path, rest = split_line(line)
    return ListRow(path, *_label_and_frames(rest))


def split_line(line: str) -> tuple[str, str]:
    """Part the path from what follows it: `a, b.mp4, 3` -> `a, b.mp4` and `, 3`."""
    if quoted := _QUOTED.match(line):
        return quoted[0][1:-1].replace('""', '"'), line[quoted.end() :]
    match = _WITH_SUFFIX.fullmatch(line) or _FROM_THE_RIGHT.fullmatch(line)
    assert match is not None  # the second pattern takes any line
    return match["path"], match["rest"] or ""


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


def _class_names(rows: Sequence[ListRow], labels_path: Path | None) -> tuple[str, ...]:
    if labels_path is not None:
        return read_class_names(labels_path)
    labels = {row.label for row in rows if row.label}
    if all(label.isdecimal() for label in labels):
        return tuple(str(index) for index in range(max(map(int, labels), default=-1) + 1))
    return tuple(sorted(labels))


def _label(text: str, classes: ClassIndex, *, where: str) -> int:
    if not text or text == "-1":
        return -1
    if text.isdecimal() and text not in classes.class_names:
        if int(text) >= len(classes.class_names):
            raise DatasetError(f"{where}: label {text} outside 0..{len(classes.class_names) - 1}")
        return int(text)
    return classes.find(text, where=where)
