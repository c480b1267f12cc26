"""AVA's CSV files as columns: checked, and small enough for a million rows.

Legend: R rows.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stvit_video.errors import DatasetError, MissingFileError
from stvit_video.settings.bounds import shorten
from stvit_video.untrusted import check_regular

_AT_ONCE = 1 << 16
"""Rows in memory as text."""
_ROUNDING = 0.005
"""How far a box may lie outside of its frame."""
_NOTHING = [""] * 8
COLUMNS = ("second", "x1", "y1", "x2", "y2", "action_id", "last")
_FORM = "video_id,second,x1,y1,x2,y2,action_id and a person_id or a score"


@dataclass(frozen=True)
class Rows:
    """The rows of a file; nan stands for nothing."""

    path: Path
    videos: tuple[str, ...]
    """Names, in the order in which they come first."""
    video: NDArray[np.int32]
    """(R,): place of its name."""
    numbers: NDArray[np.float64]
    """(R, 7): `COLUMNS`; boxes within 0..1."""
    line: NDArray[np.int64]
    """(R,): in the file, from 1."""

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column (R,) by its name."""
        return self.numbers[:, COLUMNS.index(name)]

    def refuse(self, is_bad: NDArray[np.bool_], name: str, rule: str, *, shown: str = "") -> None:
        """Refuse the first of the rows (R,) that break a rule, where there is one.

        Raises:
            DatasetError: naming the file, the line, the column `shown` or `name`, and its value.
        """
        if is_bad.any():
            row = int(is_bad.argmax())
            value = self.column(name)[row]
            raise DatasetError(
                f"{self.path} line {self.line[row]}: {shown or name} ({value:g}) {rule}"
            )


class _Part(NamedTuple):
    video: list[int]
    numbers: NDArray[np.float64]
    line: list[int]


def read_rows(path: Path) -> Rows:
    """Read a file of boxes, or of key frames alone (two columns); a header is passed over.

    A row of a key frame without boxes has the other columns empty, or has none.

    Raises:
        MissingFileError: there is no such file.
        DatasetError: it is no CSV, is empty, or a row is not as it must be.
    """
    if not path.exists():
        raise MissingFileError(f"annotation file {path} does not exist")
    check_regular(path, DatasetError)
    places: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = ((n, row) for n, row in enumerate(csv.reader(file), start=1) if any(row))
            parts = [_part(path, chunk, places) for chunk in _chunks(lines)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is no CSV in UTF-8: {error}") from error
    if not any(part.line for part in parts):
        raise DatasetError(f"{path} holds no rows; each must be {_FORM}")
    rows = Rows(
        path,
        tuple(places),
        np.concatenate([np.array(part.video, dtype=np.int32) for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([np.array(part.line, dtype=np.int64) for part in parts]),
    )
    _check(rows)
    return rows


def _chunks(lines: Iterator[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    first = next(lines, None)
    if first is None:
        return
    held = [] if _is_header(first[1]) else [first]
    while held := held + list(islice(lines, _AT_ONCE - len(held))):
        yield held
        held = []


def _is_header(row: Sequence[str]) -> bool:
    return not any(_is_number(cell) for cell in row[1:7])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _part(path: Path, chunk: list[tuple[int, list[str]]], places: dict[str, int]) -> _Part:
    cells: list[str] = []
    for line, row in chunk:
        if len(row) not in (2, 7, 8):
            raise DatasetError(
                f"{path} line {line}: {len(row)} columns, but a row must be {_FORM}, or video_id,"
                "second alone"
            )
        cells += row[1:]
        cells += _NOTHING[len(row) :]
    try:
        numbers = np.array([float(cell or "nan") for cell in cells]).reshape(-1, len(COLUMNS))
    except ValueError:
        place = next(i for i, cell in enumerate(cells) if cell and not _is_number(cell))
        line, name = chunk[place // len(COLUMNS)][0], COLUMNS[place % len(COLUMNS)]
        raise DatasetError(
            f"{path} line {line}: {name} ({shorten(cells[place])}) must be a number"
        ) from None
    video = [places.setdefault(row[0], len(places)) for _, row in chunk]
    return _Part(video, numbers, [line for line, _ in chunk])


def _check(rows: Rows) -> None:
    second, boxes = rows.column("second"), rows.numbers[:, 1:5]
    rows.refuse(~np.isfinite(second) | (second < 0), "second", "must be a number from 0")
    has_box = ~np.isnan(boxes).all(axis=1)
    for name in COLUMNS[1:5]:
        column = rows.column(name)
        is_out = ~((column >= -_ROUNDING) & (column <= 1 + _ROUNDING))
        rows.refuse(is_out & has_box, name, "must be in 0..1, a share of the frame")
    np.clip(boxes, 0, 1, out=boxes)
    for low, high in (("x1", "x2"), ("y1", "y2")):
        is_empty = rows.column(high) <= rows.column(low)
        rows.refuse(is_empty, high, f"must be above {low}; mend the box or leave it out")
