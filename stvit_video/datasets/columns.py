"""Columns of a table in tensors: a few objects, however many rows.

Forked workers read the same memory as their parent, spawned ones are handed it, as any tensor is.
A Python object per row would be copied by every worker that looks at it, for its count of users.

Legend: R rows of the table, I rows that are asked for.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Column(Protocol):
    """One value of every row."""

    def read(self, rows: Tensor) -> list[Any]:
        """Return the values of some rows: int64 (I,) -> I values."""


class GrowingColumn(Protocol):
    """A column that is being filled."""

    def extend(self, values: Iterable[Any], /) -> None:
        """Add values at the end."""

    def column(self) -> Column:
        """Return what was added."""


@dataclass(frozen=True, eq=False, slots=True)
class Numbers:
    """A column of whole numbers or of floats."""

    values: Tensor
    """(R,): whole numbers in as few bytes as hold them all."""

    def read(self, rows: Tensor) -> list[Any]:
        """Return the values of some rows: int64 (I,) -> I numbers."""
        return self.values[rows].tolist()


@dataclass(frozen=True, eq=False, slots=True)
class Words:
    """A column of text in which few different values come again and again."""

    codes: Tensor
    """(R,): positions in `words`."""
    words: Sequence[str]
    """In the order in which they first appear."""

    def first_row(self, code: int) -> int:
        """Return the first row that holds the word of a code."""
        return int((self.codes == code).nonzero()[0])

    def read(self, rows: Tensor) -> list[Any]:
        """Return the values of some rows: int64 (I,) -> I texts."""
        return [self.words[code] for code in self.codes[rows].tolist()]


@dataclass(frozen=True, eq=False, slots=True)
class Texts:
    """A column of text that differs from row to row."""

    letters: Tensor
    """uint8: the UTF-8 of all rows, one behind the other."""
    bounds: Tensor
    """(R + 1,): where in `letters` each row begins, and where the last one ends."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def empty_rows(self) -> Tensor:
        """Return the rows without a letter: int64 (any number,)."""
        return (self.bounds.diff() == 0).nonzero().flatten()

    def read(self, rows: Tensor) -> list[Any]:
        """Return the values of some rows: int64 (I,) -> I texts."""
        letters = self.letters.numpy().data
        starts, ends = self.bounds[rows].tolist(), self.bounds[rows + 1].tolist()
        return [
            str(letters[start:end], "utf-8", "surrogateescape")
            for start, end in zip(starts, ends, strict=True)
        ]


def narrow(values: Tensor) -> Tensor:
    """Keep whole numbers in the smallest type that holds them all; leave floats as they are."""
    if values.is_floating_point():
        return values
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        if torch.iinfo(dtype).min <= least and most <= torch.iinfo(dtype).max:
            return values.to(dtype)
    return values


def repeat_value(value: float | str, num_rows: int) -> Column:
    """Return a column of one value, which takes no memory by row."""
    if isinstance(value, str):
        return Words(torch.zeros((), dtype=torch.uint8).expand(num_rows), (value,))
    dtype = torch.float64 if isinstance(value, float) else torch.int64
    return Numbers(torch.tensor(value, dtype=dtype).expand(num_rows))


class GrowingNumbers:
    """Whole numbers, or with `kind=float` floats, as they come."""

    def __init__(self, kind: type = int) -> None:
        self._values = array("d" if kind is float else "q")
        self.extend = self._values.extend

    def column(self) -> Numbers:
        """Return what was added."""
        return Numbers(narrow(_tensor(self._values)))


class GrowingWords:
    """Text of few different values, as it comes."""

    def __init__(self) -> None:
        self._codes = array("q")
        self._code_of: dict[str, int] = {}

    def extend(self, values: Iterable[str], /) -> None:
        """Add values at the end."""
        codes = self._code_of
        self._codes.extend([codes.setdefault(value, len(codes)) for value in values])

    def column(self) -> Words:
        """Return what was added."""
        return Words(narrow(_tensor(self._codes)), tuple(self._code_of))


class GrowingTexts:
    """Text that differs from row to row, as it comes."""

    def __init__(self) -> None:
        self._letters = bytearray()
        self._bounds = array("q", [0])

    def extend(self, values: Iterable[str], /) -> None:
        """Add values at the end."""
        for value in values:
            self._letters += value.encode("utf-8", "surrogateescape")
            self._bounds.append(len(self._letters))

    def column(self) -> Texts:
        """Return what was added."""
        letters = torch.from_numpy(np.array(self._letters, dtype=np.uint8))
        return Texts(letters, narrow(_tensor(self._bounds)))


def _tensor(values: "array[Any]") -> Tensor:
    return torch.from_numpy(np.array(values))
