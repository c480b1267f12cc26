"""What all annotation formats have in common: names of classes, files below a root, coverage."""

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.layouts.class_folders import is_video_name
from stvit_video.datasets.manifest import Manifest, VideoRecord
from stvit_video.errors import DatasetError, MissingFileError, did_you_mean


class Stretch(NamedTuple):
    """A part of a file, from `start` to ahead of `end`."""

    start: float
    end: float
    """-1 for the end of the file."""
    in_seconds: bool = False
    """Otherwise in frames."""

    def in_frames(self, fps: float) -> tuple[int, int]:
        """Return the first frame and that behind the last, to the nearest; -1 stays."""
        factor = fps if self.in_seconds else 1
        return round(self.start * factor), -1 if self.end < 0 else round(self.end * factor)


WHOLE = Stretch(0, -1)


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


def parse_stretch(values: Mapping[str, str], where: str) -> Stretch:
    """Read the stretch of a file by the names of columns: frames or seconds, or the whole of it.

    Raises:
        DatasetError: it is in frames and seconds, or is no stretch.
    """
    units = [
        unit
        for unit in ("frame", "seconds")
        if values.get(f"start_{unit}") or values.get(f"end_{unit}")
    ]
    if not units:
        return WHOLE
    if len(units) > 1:
        raise DatasetError(f"{where}: the stretch is in frames and in seconds; keep one of them")
    unit = units[0]
    numbers = []
    for side, missing in (("start", 0.0), ("end", -1.0)):
        text = values.get(f"{side}_{unit}", "")
        try:
            number = _seconds(text) if text else missing
        except ValueError:
            number = math.nan
        is_wrong = not math.isfinite(number) or (number < 0 and number != missing)
        if is_wrong or (unit == "frame" and number % 1):
            raise DatasetError(f"{where}: {side}_{unit} ({text}) must be a number of at least 0")
        numbers.append(number)
    start, end = numbers
    if 0 <= end <= start:
        raise DatasetError(f"{where}: the stretch ends ({end:g}) where it begins ({start:g})")
    if (start, end) == WHOLE[:2]:
        return WHOLE
    return Stretch(start, end, in_seconds=unit == "seconds")


def _seconds(text: str) -> float:
    """Read a number, or a time such as 01:02:03.5."""
    parts = text.split(":")
    if len(parts) > 3:
        raise ValueError(text)
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + float(part)
    return seconds


class ClassIndex:
    """Looks up class indices by name, spelled with spaces or underscores, quoted or not, in
    capitals or not.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = class_names
        self._exact = {name: index for index, name in enumerate(class_names)}
        self._spelled = {spelling(name).casefold(): index for index, name in enumerate(class_names)}

    def find(self, name: str, *, where: str) -> int:
        """Return the index of a class; `where` says which row the name comes from.

        Raises:
            DatasetError: there is no such class.
        """
        index = self._exact.get(name, self._spelled.get(spelling(name).casefold()))
        if index is None:
            raise DatasetError(
                f"{where}: label {name!r} is none of the {len(self.class_names)} classes"
                f"{did_you_mean(name, list(self.class_names))}"
            )
        return index


def spelling(name: str) -> str:
    """Bring the ways to write a class name to one: spaces for underscores, no double quotes."""
    return " ".join(name.replace("_", " ").replace('"', " ").split())


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read the names of classes in the order of their index.

    Forms: one name a line, `index name` (from 0 or 1), a CSV file with the columns id and name, a
    JSON list, or a JSON object of name -> index or index -> name.

    Raises:
        MissingFileError, DatasetError: no such file, or it is none of these.
    """
    text = read_text(path, what="file of class names")
    if path.suffix.lower() == ".json":
        names = _names_of_json(path, text)
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if path.suffix.lower() == ".csv":
            lines = [" ".join(row[:2]) if len(row) > 1 else row[0] for row in csv.reader(lines)]
            if lines and not re.match(r"\d+ ", lines[0]) and _numbered(lines[1:]):
                lines = lines[1:]
        names = _numbered(lines) or lines
    if not names:
        raise DatasetError(f"class names {path} hold no name")
    doubled = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if doubled is not None:
        raise DatasetError(f"class names {path} hold {doubled!r} twice")
    return tuple(names)


def read_text(path: Path, *, what: str = "annotation file") -> str:
    """Read a file in UTF-8, with or without a byte order mark; `what` names it in errors.

    Raises:
        MissingFileError, DatasetError: no such file, empty, or no text.
    """
    if path.is_dir():
        inside = ", ".join(sorted(file.name for file in path.iterdir())[:5])
        raise DatasetError(f"{what} {path} is a folder; give one of its files: {inside}")
    if not path.is_file():
        raise MissingFileError(f"{what} {path} does not exist")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{what} {path} is no text in UTF-8: {error}") from error
    if not text.strip():
        raise DatasetError(f"{what} {path} is empty")
    return text


def _numbered(lines: Sequence[str]) -> list[str]:
    """Names of lines `0 a`, `1 b` (or from 1); nothing where they are not all so."""
    matches = [re.fullmatch(r"(\d+)[\s,;:]+(.+)", line) for line in lines]
    pairs = sorted((int(m[1]), m[2].strip()) for m in matches if m)
    first = pairs[0][0] if pairs else 0
    expected = list(range(first, first + len(lines)))
    if first > 1 or [number for number, _ in pairs] != expected:
        return []
    return [name for _, name in pairs]


def _names_of_json(path: Path, text: str) -> list[str]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"class names {path} are no JSON: {error}") from error
    if isinstance(content, list):
        return [str(name) for name in content]
    if not isinstance(content, dict):
        raise DatasetError(f"class names {path} must be a list or an object of name and index")
    if all(str(key).isdecimal() for key in content) and not all(
        str(value).isdecimal() for value in content.values()
    ):
        content = {str(value): key for key, value in content.items()}
    index_of = {name: int(index) for name, index in content.items() if str(index).isdecimal()}
    if sorted(index_of.values()) != list(range(len(content))):
        raise DatasetError(f"class names {path} must give each of 0..{len(content) - 1} once")
    return sorted(index_of, key=lambda name: index_of[name])
