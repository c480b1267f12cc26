"""Kinetics-400, 600 and 700: the official CSV files, in all editions, and the layouts of copies."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.layouts.annotations import (
    AnnotatedVideo,
    AnnotatedVideos,
    VideoFiles,
    choose,
)
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.layouts.class_names import ClassIndex, spelling
from stvit_video.datasets.layouts.texts import csv_rows, read_text
from stvit_video.errors import DatasetError

ID_LENGTH = 11
"""Characters of a YouTube id, which may hold `_` and begin with `-`."""
REPLACEMENT = "replacement"
"""Folders of this name (or beginning so) hold whole copies of files that are broken elsewhere."""
_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


class KineticsRow(NamedTuple):
    """One row of an official CSV file."""

    label: str
    """Empty in the edition of the test file that has no such column."""
    youtube_id: str
    start_seconds: int
    end_seconds: int
    split: str
    line: int = 0
    """Of the file, from 1; 0 where the row is of none."""

    @property
    def stem(self) -> str:
        """Name of the file, without its suffix, as most copies have it."""
        return f"{self.youtube_id}_{self.start_seconds:06d}_{self.end_seconds:06d}"


def kinetics400_class_names() -> tuple[str, ...]:
    """Return the official names in the order of their index, as torchvision's weights list them."""
    from torchvision.models.video import R3D_18_Weights

    return tuple(R3D_18_Weights.KINETICS400_V1.meta["categories"])


def read_kinetics_csv(path: Path) -> list[KineticsRow]:
    """Read an official CSV file, with or without a header, a label column, `is_cc`.

    Raises:
        MissingFileError, DatasetError: no such file, or a row is not of Kinetics.
    """
    rows = csv_rows(read_text(path).splitlines(), f"annotation file {path}")
    header = [name.strip().lower() for name in rows[0]]
    if "youtube_id" in header:
        first_line, rows = 2, rows[1:]
    else:
        first_line, header = 1, list(_COLUMNS[-len(header) :] if len(header) < 5 else _COLUMNS)
    if not rows:
        raise DatasetError(f"annotation file {path} names no videos, only its columns")
    return [
        _read_row(dict(zip(header, row, strict=False)), f"{path} line {line}")._replace(line=line)
        for line, row in enumerate(rows, start=first_line)
        if row
    ]


def find_kinetics(
    root: Path, rows: Sequence[KineticsRow], *, class_names: Sequence[str]
) -> AnnotatedVideos:
    """Find the files of `rows` below `root`: CVDF, class folders, or any other tree.

    A file is `ID_START_END` or `ID`, of any video suffix. Of several, one below a `replacement`
    folder wins, then one below folders named like the split and the class. Of several rows of one
    video the first counts; `notes` counts the others.

    Raises:
        DatasetError: a label is none of `class_names`.
    """
    files = VideoFiles(root)
    by_segment: dict[tuple[str, int, int], list[Path]] = {}
    for stem, paths in files.by_stem.items():
        match = re.fullmatch(r"_(\d+)_(\d+)", stem[ID_LENGTH:])
        if match:
            segment = (stem[:ID_LENGTH], int(match[1]), int(match[2]))
            by_segment.setdefault(segment, []).extend(paths)
    classes = ClassIndex(class_names)
    videos: dict[str, AnnotatedVideo] = {}
    repeated: dict[str, list[KineticsRow]] = {"another": [], "the same": []}
    for row in rows:
        label = classes.find(row.label, where=row.stem) if row.label else -1
        if row.stem in videos:
            repeated["the same" if videos[row.stem].label == label else "another"].append(row)
            continue
        name = class_names[label] if row.label else ""
        folders = [row.split, name, name.replace(" ", "_")]
        candidates = by_segment.get((row.youtube_id, row.start_seconds, row.end_seconds), [])
        candidates = candidates or files.by_stem.get(row.youtube_id, [])
        replaced = [path for path in candidates if _is_replacement(path)]
        path = choose(replaced or candidates, folders=folders)
        videos[row.stem] = AnnotatedVideo(row.stem, label, path)
    notes = tuple(_note(which, again) for which, again in repeated.items() if again)
    return AnnotatedVideos(tuple(videos.values()), tuple(class_names), notes)


def find_kinetics_folders(root: Path, *, class_names: Sequence[str]) -> AnnotatedVideos:
    """List class folders of `root` named with spaces or with underscores, without a CSV file.

    Raises:
        MissingFileError, DatasetError: as `find_class_folders`.
    """
    classes = ClassIndex(class_names)
    found = find_class_folders(root)
    labels = [
        classes.find(folder, where=f"class folder {root / folder}") for folder in found.class_names
    ]
    return AnnotatedVideos(
        tuple(AnnotatedVideo(r.path.stem, labels[r.label], r.path) for r in found.records),
        tuple(class_names),
    )


def names_of_rows(rows: Sequence[KineticsRow], *, expected: int, where: Path) -> tuple[str, ...]:
    """Return the sorted labels of `rows`, which must be all `expected` classes.

    Raises:
        DatasetError: some class has no row, so that every index after it would be wrong.
    """
    names = sorted({spelling(row.label) for row in rows if row.label})
    if len(names) != expected:
        raise DatasetError(
            f"{where} holds {len(names)} of {expected} classes, so that indices would shift;"
            " give all names with --labels"
        )
    return tuple(names)


def _read_row(row: dict[str, str], where: str) -> KineticsRow:
    try:
        start, end = (int(float(row[name])) for name in ("time_start", "time_end"))
        youtube_id = row["youtube_id"].strip()
    except (KeyError, ValueError, OverflowError) as error:
        raise DatasetError(
            f"{where}: not a row of Kinetics; expected {','.join(_COLUMNS)}"
        ) from error
    if len(youtube_id) != ID_LENGTH:
        raise DatasetError(f"{where}: youtube_id ({youtube_id}) must have {ID_LENGTH} characters")
    label = (row.get("label") or "").strip()
    return KineticsRow(label, youtube_id, start, end, (row.get("split") or "").strip())


def _note(which: str, rows: Sequence[KineticsRow]) -> str:
    count = "1 row repeats" if len(rows) == 1 else f"{len(rows)} rows repeat"
    return f"{count} a video with {which} label; the first: {rows[0].stem} line {rows[0].line}"


def _is_replacement(path: Path) -> bool:
    return any(part.startswith(REPLACEMENT) for part in path.parts[:-1])
