"""The list of videos that every data set becomes: a CSV file with one line per video.

The columns are those of `VideoRecord`. `path` is read relative to the folder of the manifest.
`label` is the name of the class, a class index, or empty where the label is not known; several of
them, parted by semicolons, make a list with several labels a video. A text file `NAME.labels.txt`
beside `NAME.csv` lists all class names in the order of their index; it is written only where that
order is not simply the sorted names of the file.

Legend: L different values of a record's label, K classes.
"""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stvit_video.datasets.column_names import UNCLEAR, column_of
from stvit_video.datasets.columns import Column, Numbers, Texts, Words, narrow, repeat_value
from stvit_video.datasets.csv_columns import line_of, read_columns, read_header
from stvit_video.datasets.index_store import IndexStore, index_path
from stvit_video.datasets.label_sets import SEPARATOR, LabelSets
from stvit_video.datasets.label_words import MOST_CLASSES, label_number
from stvit_video.datasets.records import UNKNOWN_LABEL as UNKNOWN_LABEL
from stvit_video.datasets.records import Records, labels_of
from stvit_video.datasets.records import VideoRecord as VideoRecord
from stvit_video.errors import DatasetError, MissingFileError
from stvit_video.files import replacing, write_file

_STRETCH = ("start_frame", "end_frame")
"""The last columns."""
_MEANINGFUL = ("label", *_STRETCH, "start_seconds", "end_seconds")
"""Columns that must not be left out because they have another name."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The videos of a data set and the names of its classes, in the order of their index."""

    records: Sequence[VideoRecord]
    """Kept as `Records`, whatever sequence they were given as."""
    class_names: tuple[str, ...]
    label_sets: tuple[tuple[int, ...], ...] = ()
    """With several labels a video: the classes that each value of a record's label stands for."""

    def __post_init__(self) -> None:
        if not isinstance(self.records, Records):
            object.__setattr__(self, "records", Records.of(self.records))

    @property
    def num_classes(self) -> int:
        """Classes of the data set, those without a video included."""
        return len(self.class_names)

    def class_name(self, index: int) -> str:
        """Return the name of a class, or its index where it has none."""
        return self.class_names[index] if index < self.num_classes else str(index)

    @property
    def is_multi_label(self) -> bool:
        """Whether a video may be of several classes."""
        return bool(self.label_sets)

    def as_multi_label(self) -> "Manifest":
        """Return the same list as one with several labels a video, of which each has one."""
        if self.is_multi_label:
            return self
        return replace(self, label_sets=tuple((index,) for index in range(self.num_classes)))

    def classes_of(self, record: VideoRecord) -> list[str]:
        """Return the names of the classes of a video; none where its label is not known."""
        if record.label == UNKNOWN_LABEL:
            return []
        classes = self.label_sets[record.label] if self.is_multi_label else (record.label,)
        return [self.class_name(index) for index in classes]

    def targets(self, num_classes: int | None = None) -> Tensor | None:
        """Return what a label stands for with several of them a video: bool (L, K); else None."""
        if not self.is_multi_label:
            return None
        targets = torch.zeros(len(self.label_sets), num_classes or self.num_classes).bool()
        for row, classes in zip(targets, self.label_sets, strict=True):
            row[list(classes)] = True
        return targets


def read_manifest(path: str | Path, *, class_names: Sequence[str] | None = None) -> Manifest:
    """Read a manifest; `class_names`, where given, decide which index a label has.

    Raises:
        MissingFileError: there is no such file.
        DatasetError: the file is no manifest, names no video, or holds a label outside the classes.
    """
    path = Path(path)
    paths, words = _read_words(path)
    if class_names is None:
        class_names = _read_class_names(path, words["label"].words if "label" in words else ())
    faults = [(row, "the path is empty") for row in paths.empty_rows()[:1].tolist()]
    columns: list[Column] = [paths]
    sets = LabelSets(class_names)
    for name, default in {"label": UNKNOWN_LABEL, **VideoRecord._field_defaults}.items():
        if name not in words:
            columns.append(repeat_value(default, len(paths)))
        elif isinstance(default, str):
            columns.append(words[name])
        else:
            convert: Callable[[str], float] = partial(_number, name=name, default=default)
            if name == "label":
                convert = sets.reader(words[name].words)
            columns.append(_numbers(words[name], convert, faults))
    if faults:
        row, text = min(faults, key=itemgetter(0))
        raise DatasetError(f"{path} line {line_of(path, row)}: {text}")
    indexes = IndexStore(index_path(path)) if index_path(path).is_file() else None
    records = Records(columns, folder=path.parent, indexes=indexes)
    return Manifest(records, tuple(class_names), sets.found)


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest and, where needed, its class names; the old file stays until it is done.

    Paths below the folder of the manifest are written relative to it; columns of stretches only
    where there is one.
    """
    path = Path(path)
    has_stretch = any(record.start_frame or record.end_frame >= 0 for record in manifest.records)
    num_columns = len(VideoRecord._fields) - (0 if has_stretch else len(_STRETCH))
    _write_class_names(manifest, path)
    rows = _written_rows(manifest, Path(os.path.abspath(path.parent)))
    with (
        replacing(path) as partial_path,
        partial_path.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(VideoRecord._fields[:num_columns])
        writer.writerows(row[:num_columns] for row in rows)


def check_labels(
    records: Sequence[VideoRecord],
    *,
    num_classes: int,
    label_sets: Sequence[tuple[int, ...]] = (),
) -> None:
    """Refuse records whose label is no class index; call it before the first step.

    `label_sets` are those of a manifest with several labels a video.

    Raises:
        DatasetError: the first such label, and how many there are.
    """
    labels = labels_of(records)
    if label_sets:
        highest = torch.tensor([max(classes) for classes in label_sets])
        labels = torch.where(labels < 0, labels, highest[labels.clamp(min=0)])
    wrong = ((labels < 0) | (labels >= num_classes)).nonzero().flatten()
    if not len(wrong):
        return
    more = f" (and of {len(wrong) - 1} more videos)" if len(wrong) > 1 else ""
    path, label = records[int(wrong[0])].path, int(labels[wrong[0]])
    if label == UNKNOWN_LABEL:
        raise DatasetError(f"label of {path}{more} is not known; training needs one")
    raise DatasetError(
        f"label {label} of {path}{more} outside 0..{num_classes - 1};"
        f" the model has {num_classes} classes"
    )


def labels_path(path: str | Path) -> Path:
    """Return where the class names of manifest `path` are kept: `NAME.labels.txt` beside it."""
    return Path(path).with_name(f"{Path(path).stem}.labels.txt")


def _read_words(path: Path) -> tuple[Texts, dict[str, Words]]:
    """Return the paths of a manifest, and its other columns as they are written."""
    if not path.is_file():
        raise MissingFileError(
            f"manifest {path} does not exist; write one with `stvit-video data manifest`"
        )
    header = read_header(path)
    if not header:
        raise DatasetError(f"manifest {path} is empty; it must name at least one video")
    if "path" not in header:
        raise DatasetError(
            f"manifest {path} has no column 'path' but {', '.join(header)!r};"
            " turn a list into a manifest with `stvit-video data manifest`"
        )
    for word in header:
        column = column_of(word)
        column = f"{UNCLEAR[column]}_frame" if column in UNCLEAR else column
        if word not in VideoRecord._fields and column not in header and column in _MEANINGFUL:
            raise DatasetError(
                f"manifest {path} has the column {word!r}, which a manifest calls {column!r}; turn"
                " the list into a manifest with `stvit-video data manifest list`"
            )
    known = [name for name in VideoRecord._fields if name in header]
    paths, words = read_columns(path, texts="path", words=known[1:])
    if not len(paths):
        raise DatasetError(f"manifest {path} names no videos, only its columns")
    return paths, words


def _read_class_names(path: Path, labels: Sequence[str]) -> list[str]:
    beside = labels_path(path)
    if beside.is_file():
        return beside.read_text(encoding="utf-8").splitlines()
    names = {name.strip() for label in labels for name in label.split(SEPARATOR)} - {"", "-1"}
    numbers = [number for name in names if (number := label_number(name)) is not None]
    if not numbers or len(numbers) < len(names):
        return sorted(names)
    if not 0 <= min(numbers) <= max(numbers) < MOST_CLASSES:
        wrong = next(number for number in numbers if not 0 <= number < MOST_CLASSES)
        raise DatasetError(
            f"manifest {path} has the label {wrong}; it must be -1, where it is not known, or the"
            f" index of a class, below {MOST_CLASSES} where {beside.name} does not say how many"
            " there are"
        )
    return [str(index) for index in range(max(numbers) + 1)]


def _write_class_names(manifest: Manifest, path: Path) -> None:
    labels = labels_of(manifest.records).unique().tolist()
    records = (VideoRecord(path, label) for label in labels)
    present = {name for record in records for name in manifest.classes_of(record)}
    beside = labels_path(path)
    parted = next((name for name in manifest.class_names if SEPARATOR in name), None)
    if parted is not None and manifest.is_multi_label:
        raise DatasetError(
            f"class {parted!r} must not hold {SEPARATOR!r}, which stands between the labels of a"
            " video; give it another name"
        )
    implied = sorted(present) == list(manifest.class_names) and parted is None
    if implied and not all(name.isdecimal() for name in present):
        beside.unlink(missing_ok=True)
        return
    write_file(beside, "".join(f"{name}\n" for name in manifest.class_names))


def _written_rows(manifest: Manifest, folder: Path) -> Iterator[tuple[object, ...]]:
    written_folder = lru_cache(maxsize=4096)(partial(_written_folder, folder=folder))
    for record in manifest.records:
        own_folder, name = os.path.split(record.path)
        label = SEPARATOR.join(manifest.classes_of(record))
        yield written_folder(own_folder) + name, label, *record[2:]


def _written_folder(path: str, *, folder: Path) -> str:
    """Return what stands before the name of a video in `path`: nothing, or a path with its end."""
    absolute = Path(os.path.abspath(path))
    if absolute == folder:
        return ""
    is_below = absolute.is_relative_to(folder)
    return f"{absolute.relative_to(folder).as_posix()}/" if is_below else os.path.join(absolute, "")


def _numbers(
    column: Words, convert: Callable[[str], float], faults: list[tuple[int, str]]
) -> Numbers:
    """Convert every word once; note the first that cannot be, and its row."""
    values: list[float] = []
    for code, word in enumerate(column.words):
        try:
            values.append(convert(word))
        except DatasetError as error:
            faults.append((column.first_row(code), str(error)))
            return Numbers(torch.empty(0))
    return Numbers(narrow(torch.from_numpy(np.array(values)))[column.codes.int()])


def _number(text: str, *, name: str, default: float) -> float:
    try:
        value = type(default)(text) if text else default
        if not abs(value) < 2**63:
            raise ValueError("it has no place in 64 bits")
    except ValueError as error:
        raise DatasetError(f"{name} ({text}) must be a number") from error
    return value
