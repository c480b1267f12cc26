"""The labels of a list: one class a video, or several."""

from collections.abc import Callable, Sequence

from stvit_video.datasets.label_words import label_number
from stvit_video.datasets.records import UNKNOWN_LABEL
from stvit_video.errors import DatasetError, did_you_mean

SEPARATOR = ";"
"""Between the classes of a video."""


class LabelSets:
    """Numbers the labels of a list: a class by its index, classes of one video in turn."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._index_of = {name: index for index, name in enumerate(class_names)}
        self._code_of: dict[tuple[int, ...], int] = {}

    @property
    def found(self) -> tuple[tuple[int, ...], ...]:
        """The classes of each number; none where a video has one class."""
        return tuple(self._code_of)

    def reader(self, labels: Sequence[str]) -> Callable[[str], int]:
        """Return what numbers a label of a list that holds `labels`."""
        is_multi_label = any(SEPARATOR in label and label not in self._index_of for label in labels)
        return self.number if is_multi_label else self.class_index

    def number(self, label: str) -> int:
        """Return the number of a label of several classes, `UNKNOWN_LABEL` of an empty one.

        Raises:
            DatasetError: one of them is no class, or is there twice.
        """
        return self.number_of(label.split(SEPARATOR)) if label.strip() else UNKNOWN_LABEL

    def number_of(self, names: Sequence[str]) -> int:
        """Return the number of these classes, given by name or index. Raises as `number`."""
        classes = []
        for name in map(str.strip, names):
            if not name:
                raise DatasetError(
                    f"label ({SEPARATOR.join(names)}) has a place without a class; name one"
                    " there, or take it out"
                )
            index = self.class_index(name)
            if index in classes:
                raise DatasetError(f"label ({SEPARATOR.join(names)}) names {name!r} twice")
            classes.append(index)
        return self._code_of.setdefault(tuple(sorted(classes)), len(self._code_of))

    def class_index(self, label: str) -> int:
        """Return the index of a class, given by name or index; `UNKNOWN_LABEL` of nothing or -1.

        Raises:
            DatasetError: there is no such class.
        """
        index_of = self._index_of
        if not label:
            return UNKNOWN_LABEL
        if label in index_of:
            return index_of[label]
        number = label_number(label)
        if number == UNKNOWN_LABEL:
            return UNKNOWN_LABEL
        if number is not None:
            if 0 <= number < len(index_of):
                return number
            raise DatasetError(f"label {label} outside 0..{len(index_of) - 1}")
        raise DatasetError(
            f"label {label!r} is none of the {len(index_of)} classes"
            f"{did_you_mean(label, list(index_of))}"
        )
