"""Look at many files once each, many at a time: on a network share each look takes a while."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from stvit_video.report.progress import track_files

_NUM_THREADS = 32
_NUM_AHEAD = 4096


class FileState(NamedTuple):
    """What tells one file, and one state of it, from another."""

    size: int
    """Bytes."""
    mtime_ns: int
    device: int
    inode: int


def read_states(paths: Sequence[Path], *, title: str) -> list[FileState | None]:
    """Return the state of every file in order, None if it is missing; a bar shows how far it is."""
    states = track_files(_each(paths), title=title, total=len(paths), is_bad=lambda state: False)
    return list(states)


def _each(paths: Sequence[Path]) -> Iterator[FileState | None]:
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for start in range(0, len(paths), _NUM_AHEAD):  # a pool would take millions at once
            yield from pool.map(_state, paths[start : start + _NUM_AHEAD])


def _state(path: Path) -> FileState | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a zero byte in its name
        return None
    return FileState(status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)
