"""Diving48: JSON records `{vid_name, label, start_frame, end_frame}`."""

from pathlib import Path
from typing import Any

from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos, VideoFiles
from stvit_video.datasets.layouts.class_names import read_class_names
from stvit_video.datasets.layouts.stretches import parse_stretch
from stvit_video.datasets.layouts.texts import read_json
from stvit_video.errors import DatasetError, MissingFileError

_VOCABULARY = "Diving48_vocab.json"


def find_diving48(
    root: Path, annotation_path: Path, *, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of `Diving48_V2_train.json` or `_test.json` below `root`.

    The names of the classes are the four parts of a dive in `Diving48_vocab.json` beside it,
    joined by `+`. Of a file the frames from `start_frame` to ahead of `end_frame` count.

    Raises:
        MissingFileError, DatasetError: a file is missing or not of this data set.
    """
    beside = annotation_path.with_name(_VOCABULARY)
    if labels_path is None and not beside.is_file():
        raise MissingFileError(f"no {_VOCABULARY} beside {annotation_path}; give it with --labels")
    class_names = read_class_names(labels_path) if labels_path else _read_vocabulary(beside)
    files, videos = VideoFiles(root), []
    for position, record in enumerate(_read_list(annotation_path)):
        where = f"{annotation_path} record {position}"
        if not isinstance(record, dict) or not {"vid_name", "label"} <= record.keys():
            raise DatasetError(f"{where}: no vid_name and label; expected those of Diving48")
        label = record["label"]
        if not isinstance(label, int) or not 0 <= label < len(class_names):
            raise DatasetError(f"{where}: label ({label}) outside 0..{len(class_names) - 1}")
        name = str(record["vid_name"])
        values = {key: str(record[key]) for key in ("start_frame", "end_frame") if key in record}
        stretch = parse_stretch(values, where)
        videos.append(AnnotatedVideo(name, label, files.find(name), stretch=stretch))
    return AnnotatedVideos(tuple(videos), class_names)


def _read_vocabulary(path: Path) -> tuple[str, ...]:
    found = _read_list(path)
    if not all(isinstance(parts, list) for parts in found):
        raise DatasetError(f"{path} must list the parts of each class")
    names = tuple("+".join(map(str, parts)) for parts in found if parts)
    if not names or len(set(names)) < len(names):
        raise DatasetError(f"{path} must list the parts of each class once")
    return names


def _read_list(path: Path) -> list[Any]:
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise DatasetError(f"annotation file {path} must be a list, and not an empty one")
    return content
