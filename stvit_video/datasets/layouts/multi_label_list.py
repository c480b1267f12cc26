"""Lists with several labels a video, one video a line: `path label label ...`.

Indices are separated by spaces, tabs, commas, semicolons or bars; names, which may hold the first
three, by semicolons or bars. A path ends at the last video suffix of its line.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.label_sets import LabelSets
from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos
from stvit_video.datasets.layouts.class_names import ClassIndex
from stvit_video.datasets.layouts.list_labels import describe_rows, list_classes
from stvit_video.datasets.layouts.list_rows import split_line
from stvit_video.datasets.layouts.texts import read_text
from stvit_video.datasets.layouts.video_list import ListedFiles
from stvit_video.errors import DatasetError, MissingFileError

_INDICES = re.compile(r"\d+(?:[\s,;|]+\d+)*")
_HEADER = re.compile(r"(?i)\W*(path|video)\W+(labels?|class(es)?)\W*")


class MultiLabelRow(NamedTuple):
    """One line of a list."""

    where: str
    """File and number of the line."""
    path: str
    labels: list[str]


def read_multi_label_list(path: Path) -> list[MultiLabelRow]:
    """Read a list; a header such as `path,labels` is no video.

    Raises:
        MissingFileError, DatasetError: no such file, no video in it, a line without a label, or a
            video that is on two lines.
    """
    rows = list(_rows(path))
    if not rows:
        raise DatasetError(f"{path} names no videos, only its columns")
    seen: dict[str, str] = {}
    for row in rows:
        if not row.labels:
            raise DatasetError(
                f"{row.where}: {row.path} has no label; write path and labels, or take it out"
            )
        first = seen.setdefault(row.path, row.where)
        if first != row.where:
            raise DatasetError(
                f"{row.where}: {row.path} is on line {first.rsplit(' ', 1)[-1]} already; write all"
                " labels of a video on one line"
            )
    return rows


def find_multi_label_list(
    root: Path, list_path: Path, *, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of a list, whose paths are absolute or relative to `root`.

    Labels are indices, or names of which `labels_path` gives the order (without it: sorted).

    Raises:
        MissingFileError, DatasetError: no such file or folder, or a label outside the classes.
    """
    if not root.is_dir():
        raise MissingFileError(f"video folder {root} does not exist")
    rows = read_multi_label_list(list_path)
    labels = ((row.where, label) for row in rows for label in row.labels)
    class_names = list_classes(labels, labels_path)
    classes, sets, videos = ClassIndex(class_names), LabelSets(class_names), []
    files = ListedFiles(root)
    for row in rows:
        try:
            names = [_name(label, classes, row.where) for label in row.labels]
            label = sets.number_of(names)
        except DatasetError as error:
            where = "" if str(error).startswith(row.where) else f"{row.where}: "
            raise DatasetError(f"{where}{error}") from error
        videos.append(AnnotatedVideo(row.path, label, files.find(row.path)))
    notes = (describe_rows("path, labels", len(rows), class_names), *files.notes())
    return AnnotatedVideos(tuple(videos), class_names, notes, sets.found)


def _rows(path: Path) -> Iterator[MultiLabelRow]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or (number == 1 and _HEADER.fullmatch(line)):
            continue
        video, rest = split_line(line.strip())
        text = rest.strip(" \t,").strip('"')
        separator = r"[\s,;|]+" if _INDICES.fullmatch(text) else r"[;|]"
        labels = [label.strip() for label in re.split(separator, text)] if text else []
        yield MultiLabelRow(f"{path} line {number}", video, labels)


def _name(label: str, classes: ClassIndex, where: str) -> str:
    """Bring the ways to write a class to one; indices, and what is no class, stay as they are."""
    if not label or label.isdecimal():
        return label
    return classes.class_names[classes.find(label, where=where)]
