"""UCF101 and HMDB51 with their official split files.

UCF101: `ucfTrainTestlist/{classInd,trainlist01,testlist01}.txt`, rows `Class/v_x.avi 1` or without
the number. HMDB51: a folder of `CLASS_test_split1.txt`, rows `x.avi 1` with 1 for training, 2 for
testing and 0 for neither.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos, VideoFiles
from stvit_video.datasets.layouts.class_names import ClassIndex, read_class_names
from stvit_video.datasets.layouts.texts import read_text
from stvit_video.errors import ConfigError, DatasetError, MissingFileError

_HMDB_ROLES = {"train": "1", "test": "2"}


def find_ucf101(root: Path, list_path: Path, *, labels_path: Path | None = None) -> AnnotatedVideos:
    """Find the videos of `trainlist0N.txt` or `testlist0N.txt` below `root`.

    The class is that of the folder in the row, its index that of `classInd.txt` beside the list,
    less one.

    Raises:
        MissingFileError, DatasetError: a file is missing, or a row is not of this data set.
    """
    rows = read_text(list_path).splitlines()
    class_names = read_class_names(labels_path or list_path.with_name("classInd.txt"))
    classes = ClassIndex(class_names)
    files = VideoFiles(root)
    videos = []
    for line, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        where = f"{list_path} line {line}"
        match = re.fullmatch(r"(\w+)/(\S+)\.avi(?:\s+(\d+))?", row.strip())
        if match is None:
            raise DatasetError(f"{where}: not a row of UCF101; expected Class/v_name.avi")
        folder, stem, number = match.groups()
        label = classes.find(folder, where=where)
        if number is not None and int(number) != label + 1:
            raise DatasetError(f"{where}: label {number} is not that of {folder} ({label + 1})")
        path = _find_in_class(files, stem, class_names[label], class_names)
        videos.append(AnnotatedVideo(f"{folder}/{stem}.avi", label, path))
    return AnnotatedVideos(tuple(videos), class_names)


def find_hmdb51(
    root: Path, splits_dir: Path, *, split: str, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of one split below `root`; `split` is `train1`, `test1`, ... `test3`.

    The classes are those of `labels_path`, or of the split files that are there, sorted.

    Raises:
        ConfigError: no such split.
        MissingFileError, DatasetError: no split files, or a row is not of this data set.
    """
    match = re.fullmatch(r"(train|test)([123])", split)
    if match is None:
        raise ConfigError(f"split ({split}) of hmdb51 must be train1, test1, ... test3")
    role, number = match.groups()
    suffix = f"_test_split{number}.txt"
    paths = sorted(splits_dir.glob(f"*{suffix}"))
    if not paths:
        raise MissingFileError(f"no CLASS{suffix} in {splits_dir}")
    found_names = tuple(path.name.removesuffix(suffix) for path in paths)
    class_names = found_names if labels_path is None else read_class_names(labels_path)
    classes = ClassIndex(class_names)
    files = VideoFiles(root)
    videos = []
    for name_of_file, path in zip(found_names, paths, strict=True):
        label = classes.find(name_of_file, where=str(path))
        for line, row in enumerate(read_text(path).splitlines(), start=1):
            name, _, mark = row.strip().rpartition(" ")
            if not row.strip():
                continue
            if mark not in ("0", "1", "2") or not name:
                raise DatasetError(f"{path} line {line}: expected a file name and 0, 1 or 2")
            if mark == _HMDB_ROLES[role]:
                stem = name.strip().removesuffix(".avi")
                found = _find_in_class(files, stem, class_names[label], class_names)
                videos.append(AnnotatedVideo(f"{class_names[label]}/{stem}.avi", label, found))
    return AnnotatedVideos(tuple(videos), class_names)


def _find_in_class(
    files: VideoFiles, stem: str, class_name: str, class_names: Sequence[str]
) -> Path | None:
    """Find a file in the folder of its class or in none: never one of another class."""
    path = files.find(stem, folders=[class_name])
    if path is not None and path.parent.name in class_names and path.parent.name != class_name:
        return None
    return path
