"""EPIC-KITCHENS-100: a csv of stretches of long videos, with a verb and a noun each."""

from pathlib import Path
from typing import Literal

from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos, VideoFiles
from stvit_video.datasets.layouts.stretches import parse_stretch
from stvit_video.datasets.layouts.texts import csv_records
from stvit_video.errors import DatasetError, MissingFileError

_COLUMNS = ("video_id", "start_timestamp", "stop_timestamp")


def find_epic(
    root: Path, csv_path: Path, *, part: Literal["verb", "noun"], labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the stretches of `EPIC_100_train.csv` or `_validation.csv` below `root`: `P01_01.MP4`.

    A row is the stretch of its video from `start_timestamp` to `stop_timestamp`; its label is that
    of the verb or of the noun. The names of the classes are in `EPIC_100_verb_classes.csv` or
    `EPIC_100_noun_classes.csv` beside it.

    Raises:
        MissingFileError, DatasetError: a file is missing or not of this data set.
    """
    beside = csv_path.with_name(f"EPIC_100_{part}_classes.csv")
    names_path = labels_path or beside
    if not names_path.is_file():
        raise MissingFileError(f"no {beside.name} beside {csv_path}; give it with --labels")
    class_names = _read_names(names_path)
    files, videos = VideoFiles(root), []
    for where, row in csv_records(csv_path, _COLUMNS, "EPIC-KITCHENS"):
        label = row.get(f"{part}_class") or "-1"
        if not label.removeprefix("-").isdecimal() or not -1 <= int(label) < len(class_names):
            raise DatasetError(f"{where}: {part}_class {label} outside 0..{len(class_names) - 1}")
        times = {"start_seconds": row["start_timestamp"], "end_seconds": row["stop_timestamp"]}
        videos.append(
            AnnotatedVideo(
                row.get("narration_id") or row["video_id"],
                int(label),
                files.find(row["video_id"]),
                stretch=parse_stretch(times, where),
            )
        )
    return AnnotatedVideos(tuple(videos), class_names)


def _read_names(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for where, row in csv_records(path, ("id", "key"), "EPIC-KITCHENS"):
        if row["id"] != str(len(names)):
            raise DatasetError(f"{where}: id {row['id']} must be {len(names)}, one after the other")
        names.append(row["key"])
    if len(set(names)) < len(names) or not names:
        raise DatasetError(f"class names {path} must hold each name once, and at least one")
    return tuple(names)
