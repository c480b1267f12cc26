"""Lists of videos as people pass them around, one video a line.

`path`, `path label` or `path num_frames label`, separated by spaces, tabs or commas, with a header
or without, the label an index or a name. Paths hold spaces and commas: the end of a path is the
last video suffix in its line, and only without one is the line read from the right.
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
_WITH_SUFFIX = re.compile(rf"(?i)(?P<path>.*\.(?:{_SUFFIX}))(?:[\s,;]+(?P<rest>.*))?")
_FROM_THE_RIGHT = re.compile(r"(?P<path>.*?)(?P<rest>(?:[\s,;]+-?\d+){0,2})")


class ListRow(NamedTuple):
    """One line of a list."""

    path: str
    label: str
    """Empty where the list gives none."""
    num_frames: int
    """-1 where the list gives none."""


def read_video_list(path: Path) -> list[ListRow]:
    """Read a list, whatever its separator and columns.

    Raises:
        MissingFileError, DatasetError: no such file, empty, or a header that says no path.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    header = _header(lines)
    if header is None:
        return [_read_line(line) for line in lines]
    delimiter, columns = header
    if "path" not in columns:
        raise DatasetError(
            f"{path} has the header {lines[0]!r}; one column must be one of"
            f" {', '.join(_COLUMNS['path'])}"
        )
    if len(lines) == 1:
        raise DatasetError(f"{path} names no videos, only its columns")
    return [_read_columns(columns, line, delimiter) for line in lines[1:]]


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


def _header(lines: Sequence[str]) -> tuple[str, list[str]] | None:
    """Delimiter and columns of the first line, if its words are names of columns."""
    for delimiter in (",", "\t", ";", " "):
        words = [word.strip().strip('"').lower() for word in lines[0].split(delimiter)]
        columns = [
            next((column for column, names in _COLUMNS.items() if word in names), word)
            for word in words
            if word
        ]
        if len(columns) > 1 and any(column in _COLUMNS for column in columns):
            has_video = _WITH_SUFFIX.fullmatch(lines[0]) is not None
            return None if has_video else (delimiter, columns)
    single = lines[0].strip('"').lower()
    if len(lines) > 1 and any(single in names for names in _COLUMNS.values()):
        return ",", ["path" if single in _COLUMNS["path"] else single]
    return None


def _read_columns(columns: Sequence[str], line: str, delimiter: str) -> ListRow:
    path, rest = _split_line(line)
    if columns == ["path", "label"]:
        return ListRow(path, rest, -1)
    if columns in (["path"], ["path", "num_frames", "label"]):
        return ListRow(path, *_label_and_frames(rest))
    (fields,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    row = dict(zip(columns, (field.strip() for field in fields), strict=False))
    frames = row.get("num_frames", "")
    return ListRow(row["path"], row.get("label", ""), int(frames) if frames.isdecimal() else -1)


def _read_line(line: str) -> ListRow:
    path, rest = _split_line(line)
    return ListRow(path, *_label_and_frames(rest))


def _split_line(line: str) -> tuple[str, str]:
    """Part the path from what follows it: `a, b.mp4, 3` -> `a, b.mp4` and `3`."""
    if quoted := re.fullmatch(r'"((?:[^"]|"")*)"[\s,;]*(.*)', line):
        return quoted[1].replace('""', '"'), quoted[2].strip('"')
    match = _WITH_SUFFIX.fullmatch(line) or _FROM_THE_RIGHT.fullmatch(line)
    assert match is not None  # the second pattern takes any line
    return match["path"], (match["rest"] or "").strip(' \t,;"')


def _label_and_frames(rest: str) -> tuple[str, int]:
    """Read `label` or `num_frames label`, of which the label may be a name with spaces."""
    match = re.fullmatch(r"(\d+)[\s,;]+(.*)", rest)
    return (rest, -1) if match is None else (match[2].strip('"'), int(match[1]))


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
