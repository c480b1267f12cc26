"""The labels of a list: all of them numbers, or all of them names.

Legend: K classes.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from stvit_video.datasets.label_words import MOST_CLASSES, label_number
from stvit_video.datasets.layouts.class_names import ClassIndex, read_class_names
from stvit_video.errors import DatasetError


def list_classes(labels: Iterable[tuple[str, str]], labels_path: Path | None) -> tuple[str, ...]:
    """Return the classes of labels, each with where it stands; empty ones and -1 are of none.

    They are those of the file of names where there is one, else sorted names, or 0 to K - 1.

    Raises:
        MissingFileError, DatasetError: there are numbers and names, a number that no class can
            have, or the file of names is none.
    """
    if labels_path is not None:
        return read_class_names(labels_path)
    first: dict[bool, str] = {}
    names: set[str] = set()
    highest = -1
    for where, text in labels:
        number = label_number(text)
        if not text or number == -1:
            continue
        first.setdefault(number is None, text)
        if len(first) == 2:
            kind, other = ("name", "number") if number is None else ("number", "name")
            raise DatasetError(
                f"{where}: label ({text}) is a {kind}, but {first[number is not None]} above is a"
                f" {other}; write all labels alike"
            )
        if number is None:
            names.add(text)
        elif not 0 <= number < MOST_CLASSES:
            raise DatasetError(
                f"{where}: label ({text}) must be -1, where it is not known, or the index of a"
                f" class, below {MOST_CLASSES} where --labels does not say how many there are"
            )
        else:
            highest = max(highest, number)
    return tuple(sorted(names)) if names else tuple(map(str, range(highest + 1)))


def label_index(text: str, classes: ClassIndex, *, where: str) -> int:
    """Return the index of a label; -1 where there is none.

    Raises:
        DatasetError: it is none of the classes.
    """
    number = label_number(text)
    if not text or number == -1:
        return -1
    if number is not None and text not in classes.class_names:
        if not 0 <= number < len(classes.class_names):
            raise DatasetError(f"{where}: label {text} outside 0..{len(classes.class_names) - 1}")
        return number
    return classes.find(text, where=where)


def describe_rows(fields: str, num_rows: int, class_names: Sequence[str]) -> str:
    """Say in one line how a list was read."""
    return f"read as {fields}; {num_rows:,} rows, {len(class_names):,} classes"
