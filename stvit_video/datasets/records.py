"""The videos of a data set: one record each, kept in columns that workers share."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self, overload

import torch
from torch import Tensor

from stvit_video.datasets.columns import (
    Column,
    GrowingColumn,
    GrowingNumbers,
    GrowingTexts,
    GrowingWords,
    Numbers,
)
from stvit_video.datasets.index_store import IndexStore

UNKNOWN_LABEL = -1
_AT_ONCE = 4096
"""Records that an iteration makes in one go."""


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
    """`decord` where it is frame-exact for this file, else `pyav`; empty before a scan."""
    made_for: str = ""
    """How `data prepare` wrote the file: `any`, `segments`, or `dense4` for clips of stride 4 that
    start at multiples of 4; empty for a file that it did not write."""
    start_frame: int = 0
    """First frame of the stretch of the file that counts."""
    end_frame: int = -1
    """Frame behind its last; -1 for that of the file."""

    @property
    def start_step(self) -> int:
        """Clips whose start and stride are multiples of it read only the pictures they need."""
        step = self.made_for.removeprefix("dense")
        return (step.isdecimal() and int(step)) or 1

    def stretch(self, num_frames: int) -> range:
        """Return the frames that count, of a file of `num_frames`; none where it begins later."""
        return range(self.start_frame, num_frames)[
            : None if self.end_frame < 0 else max(self.end_frame - self.start_frame, 0)
        ]


class Records(Sequence[VideoRecord]):
    """Records in columns; each is made when it is asked for, and a slice shares the columns.

    They compare equal to any sequence of the same records.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        folder: Path,
        rows: range | None = None,
        indexes: IndexStore | None = None,
    ) -> None:
        """Take one column per field of `VideoRecord`; paths are relative to `folder`.

        `rows` are those of the columns that count, by default all. `indexes` are what is known of
        the packets of the videos.
        """
        self.indexes = indexes
        self.columns = columns
        self.folder = folder
        self.rows = range(len(self._labels.values)) if rows is None else rows

    @classmethod
    def of(
        cls,
        records: Iterable[VideoRecord],
        *,
        folder: Path = Path(),
        indexes: IndexStore | None = None,
    ) -> Self:
        """Put records into columns, as they come; their paths are relative to `folder`."""
        growing: list[GrowingColumn] = [GrowingTexts(), GrowingNumbers()]
        for default in VideoRecord._field_defaults.values():
            is_text = isinstance(default, str)
            growing.append(GrowingWords() if is_text else GrowingNumbers(type(default)))
        waiting = iter(records)
        while some := list(islice(waiting, _AT_ONCE)):
            paths, *values = zip(*some, strict=True)
            for column, added in zip(growing, (map(str, paths), *values), strict=True):
                column.extend(added)
        return cls([column.column() for column in growing], folder=folder, indexes=indexes)

    @property
    def labels(self) -> Tensor:
        """Class indices: int64 (number of records,)."""
        return self._labels.values[self._index(self.rows)].long()

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...

    @overload
    def __getitem__(self, index: slice) -> "Records": ...

    def __getitem__(self, index: int | slice) -> "VideoRecord | Records":
        if isinstance(index, slice):
            rows = self.rows[index]
            return Records(self.columns, folder=self.folder, rows=rows, indexes=self.indexes)
        try:
            row = self.rows[index]
        except IndexError as error:
            raise IndexError(f"record {index} outside 0..{len(self) - 1}") from error
        return next(self._read(range(row, row + 1)))

    def __iter__(self) -> Iterator[VideoRecord]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self._read(self.rows[start : start + _AT_ONCE])

    def __mul__(self, times: int) -> "Records":
        return Records.of(tuple(self) * times, indexes=self.indexes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented
        return all(own == its for own, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Records({list(self[:3])}{' and more' if len(self) > 3 else ''})"

    @property
    def _labels(self) -> Numbers:
        labels = self.columns[1]
        assert isinstance(labels, Numbers)
        return labels

    def _read(self, rows: range) -> Iterator[VideoRecord]:
        index = self._index(rows)
        paths, *values = (column.read(index) for column in self.columns)
        for path, *rest in zip(paths, *values, strict=True):
            yield VideoRecord(self.folder / path, *rest)

    @staticmethod
    def _index(rows: range) -> Tensor:
        return torch.arange(rows.start, rows.stop, rows.step)


def labels_of(records: Sequence[VideoRecord]) -> Tensor:
    """Return the class indices of records: int64 (number of records,)."""
    if isinstance(records, Records):
        return records.labels
    return torch.tensor([record.label for record in records], dtype=torch.int64)
