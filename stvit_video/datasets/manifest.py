"""The list of videos that every data set becomes: a CSV file with one line per video.

The columns are those of `VideoRecord`. `path` is read relative to the folder of the manifest.
`label` is the name of the class, a class index, or empty where the label is not known. A text file
`NAME.labels.txt` beside `NAME.csv` lists all class names in the order of their index; it is
written only where that order is not simply the sorted names of the file.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stvit_video.errors import DatasetError, MissingFileError, did_you_mean
from stvit_video.files import write_file

UNKNOWN_LABEL = -1


class VideoRecord(NamedTuple):
    """One video of a data set; what follows `label` is what a scan found, if there was one."""

    path: Path
    label: int
    """Class index; `UNKNOWN_LABEL` where the annotation gives none."""
    num_frames: int = -1
    """Frames that decode; -1 before a scan."""
    fps: float = 0.0
    """Frames per second; 0 before a scan."""
    width: int = -1
    """Pixels, upright; -1 before a scan."""
    height: int = -1
    """Pixels, upright; -1 before a scan."""
    codec: str = ""
    gop: str = ""
    """Kind of the key frames' groups, such as `closed` or `open`."""
    verdict: str = ""
    """`ok`, or why the video cannot be used; empty before a scan."""
    backend: str = ""
    """The fastest decoder that is frame-exact for this file; empty before a scan."""
    made_for: str = ""
    """How `data prepare` wrote the file: `any`, `segments`, or `dense4` for clips of stride 4 that
    start at multiples of 4; empty for a file that it did not write."""

    @property
    def start_step(self) -> int:
        """Clips whose start and stride are multiples of it read only the pictures they need."""
        step = self.made_for.removeprefix("dense")
        return (step.isdecimal() and int(step)) or 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """The videos of a data set and the names of its classes, in the order of their index."""

    records: tuple[VideoRecord, ...]
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Classes of the data set, those without a video included."""
        return len(self.class_names)


def read_manifest(path: str | Path, *, class_names: Sequence[str] | None = None) -> Manifest:
    """Read a manifest; `class_names`, where given, decide which index a label has.

    Raises:
        MissingFileError: there is no such file.
        DatasetError: the file is no manifest, names no video, or holds a label outside the classes.
    """
    path = Path(path)
    rows = _read_rows(path)
    if class_names is None:
        class_names = _read_class_names(path, [row.get("label") or "" for row in rows])
    index_of = {name: index for index, name in enumerate(class_names)}
    records = []
    for line, row in enumerate(rows, start=2):
        where = f"{path} line {line}"
        label = _label_index(row.get("label") or "", index_of, where)
        records.append(_record(row, path.parent, label, where))
    return Manifest(tuple(records), tuple(class_names))


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest and, where needed, its class names; the old file stays until it is done.

    Paths below the folder of the manifest are written relative to it.
    """
    path = Path(path)
    folder = Path(os.path.abspath(path.parent))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(VideoRecord._fields)
    for record in manifest.records:
        known = record.label != UNKNOWN_LABEL
        label = manifest.class_names[record.label] if known else ""
        writer.writerow([_written_path(Path(record.path), folder), label, *record[2:]])
    _write_class_names(manifest, path)
    write_file(path, text.getvalue())


def check_labels(records: Iterable[VideoRecord], *, num_classes: int) -> None:
    """Refuse records whose label is no class index; call it before the first step.

    Raises:
        DatasetError: the first such label, and how many there are.
    """
    wrong = [record for record in records if not 0 <= record.label < num_classes]
    if not wrong:
        return
    more = f" (and of {len(wrong) - 1} more videos)" if len(wrong) > 1 else ""
    first = wrong[0]
    if first.label == UNKNOWN_LABEL:
        raise DatasetError(f"label of {first.path}{more} is not known; training needs one")
    raise DatasetError(
        f"label {first.label} of {first.path}{more} outside 0..{num_classes - 1};"
        f" the model has {num_classes} classes"
    )


def labels_path(path: str | Path) -> Path:
    """Return where the class names of manifest `path` are kept: `NAME.labels.txt` beside it."""
    return Path(path).with_name(f"{Path(path).stem}.labels.txt")


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise MissingFileError(
            f"manifest {path} does not exist; write one with `stvit-video data manifest`"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"manifest {path} is not a CSV file in UTF-8: {error}") from error
    if not columns:
        raise DatasetError(f"manifest {path} is empty; it must name at least one video")
    if "path" not in columns:
        raise DatasetError(
            f"manifest {path} has no column 'path' but {', '.join(columns)!r};"
            " turn a list into a manifest with `stvit-video data manifest`"
        )
    if not rows:
        raise DatasetError(f"manifest {path} names no videos, only its columns")
    return rows


def _read_class_names(path: Path, labels: Sequence[str]) -> list[str]:
    beside = labels_path(path)
    if beside.is_file():
        return beside.read_text(encoding="utf-8").splitlines()
    names = {label for label in labels if label}
    if names and all(name.isdecimal() for name in names):
        return [str(index) for index in range(max(map(int, names)) + 1)]
    return sorted(names)


def _write_class_names(manifest: Manifest, path: Path) -> None:
    present = {manifest.class_names[r.label] for r in manifest.records if r.label != UNKNOWN_LABEL}
    beside = labels_path(path)
    implied = sorted(present) == list(manifest.class_names)
    if implied and not all(name.isdecimal() for name in present):
        beside.unlink(missing_ok=True)
        return
    write_file(beside, "".join(f"{name}\n" for name in manifest.class_names))


def _label_index(label: str, index_of: dict[str, int], where: str) -> int:
    if not label:
        return UNKNOWN_LABEL
    if label in index_of:
        return index_of[label]
    if label.removeprefix("-").isdecimal():
        if 0 <= int(label) < len(index_of):
            return int(label)
        raise DatasetError(f"{where}: label {label} outside 0..{len(index_of) - 1}")
    raise DatasetError(
        f"{where}: label {label!r} is none of the {len(index_of)} classes"
        f"{did_you_mean(label, list(index_of))}"
    )


def _record(row: dict[str, str], folder: Path, label: int, where: str) -> VideoRecord:
    if not row["path"]:
        raise DatasetError(f"{where}: the path is empty")
    values: dict[str, int | float | str] = {}
    for name, default in VideoRecord._field_defaults.items():
        text = row.get(name)
        if not text:
            continue
        try:
            values[name] = type(default)(text)
        except ValueError as error:
            raise DatasetError(f"{where}: {name} ({text}) must be a number") from error
    return VideoRecord(folder / row["path"], label, **values)  # type: ignore[arg-type]


def _written_path(path: Path, folder: Path) -> str:
    path = Path(os.path.abspath(path))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
