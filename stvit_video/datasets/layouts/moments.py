"""Moments in Time: `class/file.mp4,class,agreed,disagreed` lines."""

from pathlib import Path

from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos
from stvit_video.datasets.layouts.class_names import ClassIndex, read_class_names
from stvit_video.datasets.layouts.texts import csv_rows, read_text
from stvit_video.datasets.layouts.video_list import ListedFiles
from stvit_video.errors import DatasetError, MissingFileError

_NAMES = "moments_categories.txt"


def find_moments(root: Path, csv_path: Path, *, labels_path: Path | None = None) -> AnnotatedVideos:
    """Find the videos of `trainingSet.csv` or `validationSet.csv` in `root/training` and the like.

    Where there is no such folder, in `root` itself.

    The names of the classes are in `moments_categories.txt` beside it, `name,index` lines.

    Raises:
        MissingFileError, DatasetError: a file is missing, or a row is not of this data set.
    """
    beside = csv_path.with_name(_NAMES)
    if labels_path is None and not beside.is_file():
        raise MissingFileError(f"no {_NAMES} beside {csv_path}; give it with --labels")
    class_names = read_class_names(labels_path) if labels_path else _read_names(beside)
    own = root / csv_path.stem.removesuffix("Set")
    files = ListedFiles(own if own.is_dir() else root)
    classes, videos = ClassIndex(class_names), []
    for line, row in enumerate(csv_rows(read_text(csv_path).splitlines(), csv_path), start=1):
        where = f"{csv_path} line {line}"
        if len(row) < 2 or "/" not in row[0]:
            raise DatasetError(f"{where}: not a row of Moments in Time; expected class/file,class")
        index = classes.find(row[1].strip(), where=where)
        videos.append(AnnotatedVideo(row[0], index, files.find(row[0])))
    return AnnotatedVideos(tuple(videos), class_names, tuple(files.notes()))


def _read_names(path: Path) -> tuple[str, ...]:
    index_of: dict[str, int] = {}
    for line, row in enumerate(csv_rows(read_text(path).splitlines(), path), start=1):
        if len(row) != 2 or not row[1].strip().isdecimal():
            raise DatasetError(f"{path} line {line}: expected name,index")
        index_of[row[0].strip()] = int(row[1])
    if sorted(index_of.values()) != list(range(len(index_of))):
        raise DatasetError(f"{path} must give each of 0..{len(index_of) - 1} once")
    return tuple(sorted(index_of, key=lambda name: index_of[name]))
