"""Jester and Something-Something V1: `ID;label` lines, and one file `ID` a video."""

from pathlib import Path

from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos, VideoFiles
from stvit_video.datasets.layouts.class_names import ClassIndex, read_class_names
from stvit_video.datasets.layouts.texts import read_text
from stvit_video.errors import DatasetError, MissingFileError


def find_numbered_csv(
    root: Path, csv_path: Path, *, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of `jester-v1-train.csv` and the like below `root`: `ID.mp4`, any suffix.

    The names of the classes are beside it, in `jester-v1-labels.csv` and the like; rows of a test
    file have no label.

    Raises:
        MissingFileError, DatasetError: a file is missing or not of this kind, or `root` holds
            folders of pictures, as these data sets are published.
    """
    prefix = csv_path.name.rpartition("-")[0]
    beside = csv_path.with_name(f"{prefix}-labels.csv")
    if labels_path is None and not beside.is_file():
        raise MissingFileError(f"no {beside.name} beside {csv_path}; give it with --labels")
    class_names = read_class_names(labels_path or beside)
    classes, files, videos = ClassIndex(class_names), VideoFiles(root), []
    for line, row in enumerate(read_text(csv_path).splitlines(), start=1):
        name, _, label = (word.strip() for word in row.partition(";"))
        if not name:
            continue
        where = f"{csv_path} line {line}"
        if not name.isdecimal():
            raise DatasetError(f"{where}: {name!r} is no id; expected lines such as 34870;Drumming")
        index = classes.find(label, where=where) if label else -1
        videos.append(AnnotatedVideo(name, index, files.find(name)))
    if not files.by_stem and (root / videos[0].name).is_dir():
        raise DatasetError(
            f"{root} holds folders of pictures, {videos[0].name!r} the first; make a video of each"
            " before, as its card in data/cards says"
        )
    return AnnotatedVideos(tuple(videos), class_names)
