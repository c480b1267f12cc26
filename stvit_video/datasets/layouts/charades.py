"""Charades: a csv of videos with several actions each, and their times."""

import re
from pathlib import Path

from stvit_video.datasets.label_sets import LabelSets
from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos, VideoFiles
from stvit_video.datasets.layouts.texts import csv_records, read_text
from stvit_video.errors import DatasetError, MissingFileError

_NAMES = "Charades_v1_classes.txt"
_ACTION = re.compile(r"c(\d{3}) [\d.]+ [\d.]+")


def find_charades(
    root: Path, csv_path: Path, *, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of `Charades_v1_train.csv` or `_test.csv` below `root`: `ID.mp4`.

    A video has the labels of all its actions, as its classification is measured (mAP); the times of
    the actions are not read, and `notes` says so. A video without an action has no label.

    Raises:
        MissingFileError, DatasetError: a file is missing or not of this data set.
    """
    names_path = labels_path or csv_path.with_name(_NAMES)
    if not names_path.is_file():
        raise MissingFileError(f"no {_NAMES} beside {csv_path}; give it with --labels")
    class_names = _read_names(names_path)
    files, sets, videos, num_actions = VideoFiles(root), LabelSets(class_names), [], 0
    for where, row in csv_records(csv_path, ("id", "actions"), "Charades"):
        classes: dict[int, None] = {}
        for action in filter(None, row["actions"].split(";")):
            match = _ACTION.fullmatch(action.strip())
            if match is None or int(match[1]) >= len(class_names):
                raise DatasetError(f"{where}: {action!r} is no action such as c092 11.90 21.20")
            classes[int(match[1])] = None
            num_actions += 1
        label = sets.number_of([class_names[index] for index in classes]) if classes else -1
        videos.append(AnnotatedVideo(row["id"], label, files.find(row["id"])))
    note = f"each video has all its actions; the times of the {num_actions:,} are not read"
    return AnnotatedVideos(tuple(videos), class_names, (note,), sets.found)


def _read_names(path: Path) -> tuple[str, ...]:
    names = []
    for number, line in enumerate(filter(str.strip, read_text(path).splitlines())):
        match = re.fullmatch(r"c(\d{3}) (.+)", line.strip())
        if match is None or int(match[1]) != number:
            raise DatasetError(f"{path}: line {line!r} must be c{number:03d} and a name")
        names.append(match[2].replace(";", ","))
    return tuple(names)
