"""The rows of one list of a COCO file, read field by field, and what is wrong with one of them.

Legend: R rows.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvit_video.errors import DatasetError
from stvit_video.settings.bounds import Range, shorten

NUMBERS = {int, float}
_LARGEST = 2**63 - 1
IDS = Range(least=0, most=_LARGEST)


class Rows:
    """The objects of one list, as `annotations`; each has an id of its own."""

    def __init__(self, path: Path, content: dict[str, Any], name: str, kind: str) -> None:
        """Take the list `name` of the file; `kind` is what a row is called.

        Raises:
            DatasetError: there is none, it is empty, or two rows have one id.
        """
        self.path = path
        self.kind = kind
        rows = content.get(name)
        if not isinstance(rows, list):
            missing = "holds no list" if name not in content else "must hold a list"
            raise DatasetError(
                f"{path} {missing} {name!r}; COCO's files of objects, as instances_val2017.json,"
                " hold images, annotations and categories"
            )
        if not rows:
            raise DatasetError(f"{path}: the list {name!r} is empty; name at least one {kind}")
        self.rows: list[dict[str, Any]] = rows
        odd = next((i for i, row in enumerate(rows) if type(row) is not dict), None)
        if odd is not None:
            raise DatasetError(
                f"{path}: row {odd} of {name} (from 0) must be an object, it is"
                f" {shorten(rows[odd])!r}"
            )
        self._ids: NDArray[np.int64] | None = None
        self.ids = self._ids = self.whole("id", IDS)
        self.refuse_doubles(self.ids.tolist(), "id")

    def __len__(self) -> int:
        return len(self.rows)

    def refuse(self, row: int, problem: str) -> DatasetError:
        """Return the error of a row."""
        if self._ids is None:
            return DatasetError(f"{self.path}: row {row} of the {self.kind}s (from 0): {problem}")
        return DatasetError(f"{self.path}: {self.kind} {self._ids[row]}: {problem}")

    def refuse_first(self, is_wrong: NDArray[np.bool_], tell: Callable[[int], str]) -> None:
        """Refuse the first row that is wrong (R,), if one is; `tell` says what is."""
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise self.refuse(row, tell(row))

    def refuse_doubles(self, values: Sequence[Any], name: str) -> None:
        """Refuse a value that two rows have."""
        if len(set(values)) == len(values):
            return
        seen: set[Any] = set()
        for row, value in enumerate(values):
            if value in seen:
                raise self.refuse(row, f"{name} ({shorten(value)}) is there twice; keep one")
            seen.add(value)

    def values(self, name: str, default: Any = None) -> list[Any]:
        """Return a field of every row."""
        return [row.get(name, default) for row in self.rows]

    def whole(self, name: str, rule: Range, *, default: int | None = None) -> NDArray[np.int64]:
        """Return a field of whole numbers: (R,).

        Raises:
            DatasetError: a value is none, or outside of the rule.
        """
        values = self.values(name, default)
        if set(map(type, values)) != {int} or min(values) not in rule or max(values) not in rule:
            row = next(i for i, v in enumerate(values) if type(v) is not int or v not in rule)
            raise self.refuse(row, _wrong(name, self.rows[row], f"a whole number {rule}"))
        return np.array(values, np.int64)

    def texts(self, name: str) -> list[str]:
        """Return a field of text that says something. Raises as `whole`."""
        values = self.values(name)
        for row, value in enumerate(values):
            if not isinstance(value, str) or not value.strip():
                raise self.refuse(row, _wrong(name, self.rows[row], "text that is not empty"))
        return values

    def numbers(self, name: str, count: int, meaning: str) -> NDArray[np.float64]:
        """Return a field of `count` finite numbers a row: (R, count). Raises as `whole`."""
        values = self.values(name)
        found = None
        if set(map(type, values)) == {list} and set(map(len, values)) == {count}:
            found = as_numbers(list(chain.from_iterable(values)))
        if found is None:
            row = next(
                i
                for i, v in enumerate(values)
                if type(v) is not list or len(v) != count or as_numbers(v) is None
            )
            raise self.refuse(row, _wrong(name, self.rows[row], f"{count} numbers, {meaning}"))
        return found.reshape(-1, count)

    def positions(self, name: str, of: "Rows") -> NDArray[np.int64]:
        """Return which row of another list a field of ids names: (R,). Raises as `whole`."""
        wanted = self.whole(name, IDS)
        order = of.ids.argsort()
        place = order[np.searchsorted(of.ids, wanted, sorter=order).clip(max=len(of) - 1)]
        self.refuse_first(
            of.ids[place] != wanted,
            lambda row: f"{name} ({wanted[row]}) is the id of no {of.kind}; correct it",
        )
        return place


def as_numbers(values: list[Any]) -> NDArray[np.float64] | None:
    """Return a list as numbers; None where one is text, true, a list, nan or infinite."""
    if not set(map(type, values)) <= NUMBERS:
        return None
    try:
        found = np.array(values, np.float64)
    except OverflowError:  # a whole number of some hundred digits
        return None
    return found if np.isfinite(found).all() else None


def _wrong(name: str, row: dict[str, Any], rule: str) -> str:
    if name not in row:
        return f"{name} is missing; it must be {rule}"
    value = row[name]
    shown = repr(shorten(value)) if isinstance(value, str) else shorten(value)
    return f"{name} ({shown}) must be {rule}"
