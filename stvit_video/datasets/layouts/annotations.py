"""What all annotation formats have in common: names of classes, files below a root, coverage."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.layouts.class_folders import is_video_name
from stvit_video.datasets.layouts.stretches import WHOLE, Stretch
from stvit_video.datasets.manifest import Manifest, VideoRecord
from stvit_video.errors import DatasetError, MissingFileError


class AnnotatedVideo(NamedTuple):
    """One row of an annotation, and where its file is."""

    name: str
    """What the annotation calls the video."""
    label: int
    """Class index; -1 where the annotation gives none."""
    path: Path | None
    """None where there is no such file."""
    num_frames: int = -1
    """As the annotation claims; -1 where it does not."""
    stretch: Stretch = WHOLE
    """What of the file counts."""


class AnnotatedVideos(NamedTuple):
    """All rows of an annotation, in its order."""

    videos: tuple[AnnotatedVideo, ...]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Lines on what was odd about the rows; each names the first such row."""
    label_sets: tuple[tuple[int, ...], ...] = ()
    """As of the `Manifest`: with several labels a video, the classes of each label."""

    @property
    def has_seconds(self) -> bool:
        """Whether stretches are in seconds, so that frame rates must be known."""
        return any(video.stretch.in_seconds for video in self.videos)

    @property
    def missing(self) -> list[str]:
        """Names of the videos without a file."""
        return [video.name for video in self.videos if video.path is None]

    def manifest(self) -> Manifest:
        """Return the videos that have a file.

        Raises:
            DatasetError: none has.
        """
        records = tuple(
            VideoRecord(video.path, video.label, video.num_frames)
            for video in self.videos
            if video.path is not None
        )
        if not records:
            raise DatasetError(
                f"none of the {len(self.videos)} annotated videos was found;"
                f" the first is {self.videos[0].name}"
            )
        return Manifest(records, self.class_names, self.label_sets)

    def with_stretches(self, manifest: Manifest) -> Manifest:
        """Fill in the stretches of `manifest`, whose records know their frame rates.

        Raises:
            DatasetError: one has no frame between its start and its end.
        """
        found = [video for video in self.videos if video.path is not None]
        if all(video.stretch == WHOLE for video in found):
            return manifest
        records = []
        for video, record in zip(found, manifest.records, strict=True):
            start, end = video.stretch.in_frames(record.fps)
            is_known = not video.stretch.in_seconds or record.fps > 0
            if is_known and 0 <= end <= start:
                raise DatasetError(
                    f"{video.name}: no frame between start ({video.stretch.start:g}) and end"
                    f" ({video.stretch.end:g})"
                )
            filled = record._replace(start_frame=start, end_frame=end) if is_known else record
            records.append(filled)
        return Manifest(records, manifest.class_names, manifest.label_sets)


class VideoFiles:
    """All video files below a folder but hidden ones, to be looked up by name in any layout."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise MissingFileError(f"video folder {root} does not exist")
        self.root = root
        self.by_stem: dict[str, list[Path]] = {}
        for folder, subfolders, names in os.walk(root, followlinks=True):
            subfolders.sort()
            for name in sorted(names):
                if is_video_name(name):
                    self.by_stem.setdefault(Path(name).stem, []).append(Path(folder, name))

    def find(self, stem: str, *, folders: Sequence[str] = ()) -> Path | None:
        """Return the file of that stem; of several, the one below the most of `folders`."""
        return choose(self.by_stem.get(stem, []), folders=folders)


def choose(paths: Iterable[Path], *, folders: Sequence[str] = ()) -> Path | None:
    """Return the path below the most of `folders`, the first of equals, or None of none."""
    wanted = set(folders)
    return max(paths, key=lambda path: len(wanted & set(path.parts)), default=None)
