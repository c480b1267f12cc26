"""Something-Something V2: its JSON files, in both sets of names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos, VideoFiles
from stvit_video.datasets.layouts.class_names import ClassIndex, read_class_names
from stvit_video.datasets.layouts.texts import read_json, read_text
from stvit_video.errors import DatasetError, MissingFileError

_LABEL_FILES = ("something-something-v2-labels.json", "labels.json")
_ANSWER_FILES = ("test-answers.csv", "something-something-v2-test-answers.csv")


def find_something_something(
    root: Path, annotation_path: Path, *, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of an annotation file below `root`: `ID.webm`, or another video suffix.

    `labels_path` is looked for beside the annotation; so are the answers to a test file, whose
    own records name no template.

    Raises:
        MissingFileError, DatasetError: a file is missing or not of this data set.
    """
    labels_path = labels_path or _beside(annotation_path, _LABEL_FILES)
    if labels_path is None:
        raise MissingFileError(
            f"no {' or '.join(_LABEL_FILES)} beside {annotation_path}; give it with --labels"
        )
    class_names = read_class_names(labels_path)
    classes = ClassIndex(class_names)
    answers = _read_answers(annotation_path)
    files = VideoFiles(root)
    videos = []
    for position, record in enumerate(_read_records(annotation_path)):
        where = f"{annotation_path} record {position}"
        if not isinstance(record, dict) or "id" not in record:
            raise DatasetError(f"{where}: no 'id'; expected the records of Something-Something")
        name = str(record["id"])
        template = _without_brackets(record.get("template") or answers.get(name, ""))
        label = classes.find(template, where=where) if template else -1
        videos.append(AnnotatedVideo(name, label, files.find(name)))
    if not videos:
        raise DatasetError(f"annotation file {annotation_path} names no videos")
    return AnnotatedVideos(tuple(videos), class_names)


def _read_records(path: Path) -> list[Any]:
    records = read_json(path)
    if not isinstance(records, list):
        raise DatasetError(f"annotation file {path} must be a list of records")
    return records


def _read_answers(annotation_path: Path) -> dict[str, str]:
    """Templates by id, from rows `id;template` without a header."""
    path = _beside(annotation_path, _ANSWER_FILES)
    if path is None:
        return {}
    answers = {}
    for line in read_text(path).splitlines():
        name, _, template = line.partition(";")
        answers[name.strip()] = template
    return answers


def _without_brackets(template: str) -> str:
    return template.replace("[", "").replace("]", "").strip()


def _beside(path: Path, names: Sequence[str]) -> Path | None:
    return next((path.parent / name for name in names if (path.parent / name).is_file()), None)
