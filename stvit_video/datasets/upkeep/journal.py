"""A list of finished work that grows line by line, so that a run which was stopped goes on."""

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from stvit_video.datasets.upkeep.file_states import FileState
from stvit_video.files import writing


class Journal:
    """JSON lines on disk, one per file that was dealt with; the last line for a file counts.

    A file that has changed since, by its size or time, or that was dealt with under another
    `setting`, is unknown to the journal. Memory holds 16 bytes a line and name: results are read
    again when they are asked for.
    """

    def __init__(self, path: Path, *, setting: str = "") -> None:
        self.path = path
        self.setting = setting
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)  # nothing is left to write when it closes
            self._reader = path.open("rb")
        self._names, self._places = _read_index(path)
        if _ends_within_a_line(path):
            self._write(b"\n")

    def find(self, video: Path, state: FileState | None) -> Any:
        """What was noted about a file in this state when the journal was opened, or None."""
        entry = self._last_entry(os.path.abspath(video))
        return entry["result"] if entry and entry["key"] == self._key(video, state) else None

    def maker_of(self, target: Path) -> str:
        """Return the source that `target` was made from, by the last result that names it."""
        entry = self._last_entry(os.path.abspath(target))
        return _source_of(entry) if entry else ""

    def note(self, video: Path, state: FileState | None, result: Any) -> None:
        """Write down what became of a file; `result` is anything that JSON can hold.

        A `target` in it, the file that was made, leads to the line as the video does.
        """
        entry = {"key": self._key(video, state), "result": result}
        self._write(json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        self._reader.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _key(self, video: Path, state: FileState | None) -> str:
        text = f"{state.size} {state.mtime_ns}" if state else "missing"
        return f"{self.setting}|{text}|{os.path.abspath(video)}"

    def _last_entry(self, name: str) -> Any:
        """Read the last line that a name leads to."""
        number = int(np.searchsorted(self._names, hash(name), side="right")) - 1
        if number < 0 or self._names[number] != hash(name):
            return None
        self._reader.seek(int(self._places[number]))
        entry = json.loads(self._reader.readline())
        return entry if name in _names_of(entry) else None

    def _write(self, data: bytes) -> None:
        with writing(self.path):
            while data:  # a disk that is nearly full takes a part
                data = data[self._file.write(data) :]


def _read_index(path: Path) -> tuple[Any, Any]:
    """Hashes of the names in a journal, ascending, and where their lines begin: int64 (N,) each."""
    names, places = array("q"), array("q")
    for place, entry in _entries(path):
        for name in _names_of(entry):
            names.append(hash(name))
            places.append(place)
    hashes = np.array(names, dtype=np.int64)
    order = np.argsort(hashes, kind="stable")
    return hashes[order], np.array(places, dtype=np.int64)[order]


def _entries(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield every whole entry and where its line begins."""
    place = 0
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None  # a line that was being written when the run was stopped
            if isinstance(entry, dict) and "result" in entry and "|" in str(entry.get("key")):
                yield place, entry
            place += len(line)


def _names_of(entry: Any) -> list[str]:
    """List the files that an entry is about: the video, and what was made from it."""
    result = entry["result"]
    target = result.get("target", "") if isinstance(result, dict) else ""
    return [_source_of(entry), *([target] if target else [])]


def _source_of(entry: Any) -> str:
    return str(entry["key"]).split("|", 2)[-1]


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 1, 0))
        return file.read() not in (b"", b"\n")
