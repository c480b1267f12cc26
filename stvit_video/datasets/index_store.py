"""The packets of all videos of a manifest, in one file beside it that workers share by memory map.

`NAME.index` belongs to `NAME.csv`: opening a video that it knows costs one open and no pass over
its packets. It is looked up by path, so rows may be moved and left out; a file of another size than
it was is read anew.

Layout, little endian: a line of text, the number of videos N (int64), N hashes of paths in order
(uint64), N + 1 offsets into what follows (int64), the packed indexes.
"""

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvit_video.errors import DatasetError
from stvit_video.files import replacing
from stvit_video.video.decoding.index import VideoIndex

_FIRST_LINE = b"stvit-video index of videos, version 1\n "
_HEAD = len(_FIRST_LINE) + 8


def index_path(manifest: str | Path) -> Path:
    """Return where the indexes of the videos of a manifest are kept: `NAME.index` beside it."""
    return Path(manifest).with_suffix(".index")


def write_indexes(path: Path, indexes: Iterable[tuple[Path, bytes]]) -> None:
    """Write packed indexes of videos (`VideoIndex.to_bytes`), or leave the old file as it is."""
    folder = os.path.abspath(path.parent)
    entries = {_hash(video, folder): packed for video, packed in indexes}
    hashes = np.array(sorted(entries), dtype=np.uint64)
    sizes = [len(entries[number]) for number in hashes.tolist()]
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    with replacing(path) as partial_path, partial_path.open("wb") as file:
        file.write(_FIRST_LINE + len(hashes).to_bytes(8, "little"))
        file.write(hashes.tobytes() + offsets.tobytes())
        for number in hashes.tolist():
            file.write(entries[number])


class IndexStore:
    """Reads the indexes beside a manifest; processes that share it share its memory."""

    def __init__(self, path: Path) -> None:
        """Open a file of indexes.

        Raises:
            DatasetError: it is none, or it is cut off.
        """
        self.path = path
        self._folder = os.path.abspath(path.parent)
        self._map()

    def find(self, video: Path) -> VideoIndex | None:
        """Return the index of a video; None where the file has none."""
        number = np.uint64(_hash(video, self._folder))
        place = int(np.searchsorted(self._hashes, number))
        if place == len(self._hashes) or self._hashes[place] != number:
            return None
        packed = self._packed[self._offsets[place] : self._offsets[place + 1]]
        return VideoIndex.from_bytes(packed.tobytes(), video)

    def __len__(self) -> int:
        return len(self._hashes)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker as a path."""
        return {"path": self.path, "_folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()

    def _map(self) -> None:
        try:
            data: NDArray[np.uint8] = np.memmap(self.path, dtype=np.uint8, mode="r")
        except ValueError:  # an empty file
            data = np.zeros(0, dtype=np.uint8)
        count = int.from_bytes(data[len(_FIRST_LINE) : _HEAD].tobytes(), "little")
        end = _HEAD + 8 * (2 * count + 1)
        if data[: len(_FIRST_LINE)].tobytes() != _FIRST_LINE or end > len(data):
            raise self._unusable()
        self._hashes = data[_HEAD : _HEAD + 8 * count].view(np.uint64)
        self._offsets = data[_HEAD + 8 * count : end].view(np.int64)
        self._packed = data[end:]
        if self._offsets[-1] != len(self._packed):
            raise self._unusable()

    def _unusable(self) -> DatasetError:
        return DatasetError(
            f"{self.path} is no index of videos, or is cut off; delete it, and write it with"
            " `stvit-video data scan`"
        )


def _hash(video: Path, folder: str) -> int:
    place = os.path.relpath(video, folder)
    return int.from_bytes(blake2b(os.fsencode(place), digest_size=8).digest(), "little")
