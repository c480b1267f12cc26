"""Answers in files that grow as they come; what a stop left unfinished at an end is dropped.

Legend: N records of a file, one a video, V views of a video, K classes or what else a network says.
"""

import itertools
import zlib
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.files import writing


class ScoreLog:
    """A file that one process adds to; the videos of a batch are in it together or not at all.

    Every log is a new file: no process adds to what another may still write, or was stopped at.
    """

    def __init__(self, folder: Path, layout: np.dtype[Any]) -> None:
        """Write records of a `layout` into `folder`, once there are any."""
        self.folder = folder
        self.layout = layout
        self._file: FileIO | None = None

    def add(self, video_index: Sequence[int], logits: Sequence[Tensor]) -> None:
        """Write down the views (V, K) of the videos of a batch.

        Raises:
            WriteError: the disk refuses it; what was written before stays.
        """
        records = np.zeros(len(video_index), self.layout)
        records["video"] = video_index
        records["following"] = np.arange(len(video_index))[::-1]
        for record, views in zip(records, logits, strict=True):
            record["logits"] = views.numpy()
            record["checksum"] = _checksum(record)
        data = records.tobytes()
        with writing(self.folder):
            while data:  # a disk that is nearly full takes a part
                self._file = self._file or _new_file(self.folder)
                data = data[self._file.write(data) :]

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def read_logs(folder: Path, layout: np.dtype[Any]) -> list[NDArray[Any]]:
    """Map the records (N,) of every log in `folder`, but for those of batches not finished."""
    paths = sorted(folder.glob("*.scores"), key=lambda path: int(path.stem))
    return [_read_log(path, layout) for path in paths if path.stat().st_size >= layout.itemsize]


def record_layout(*shape: int, number: str = "<f4") -> np.dtype[Any]:
    """Return what a record is: one video, with the answers of `shape` (V, K) to its views."""
    return np.dtype(
        [
            ("video", "<i8"),  # position in the data set
            ("following", "<i4"),  # records of its batch that follow
            ("checksum", "<u4"),  # of all else
            ("logits", number, shape),
        ]
    )


def _read_log(path: Path, layout: np.dtype[Any]) -> NDArray[Any]:
    num_whole = path.stat().st_size // layout.itemsize
    records = np.memmap(path, layout, mode="r", shape=(num_whole,))
    num_finished = 0
    for number, record in enumerate(records, start=1):
        if record["checksum"] != _checksum(record):
            break
        if record["following"] == 0:
            num_finished = number
    return records[:num_finished]


def _new_file(folder: Path) -> FileIO:
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        try:
            return (folder / f"{number}.scores").open("xb", buffering=0)
        except FileExistsError:
            continue
    raise AssertionError


def _checksum(record: Any) -> int:
    head = np.array([record["video"], record["following"]], np.int64)
    return zlib.crc32(record["logits"].tobytes(), zlib.crc32(head.tobytes()))
