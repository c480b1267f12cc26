"""What a process has found out about files, so that it looks at each of them once."""

from pathlib import Path
from typing import Generic, TypeVar

Fact = TypeVar("Fact")
_MOST_KEPT = 1_000_000


class KnownFiles(Generic[Fact]):
    """One fact per file; a file that has changed, by its size or time, is unknown again."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, int, int], Fact] = {}

    def recall(self, path: Path) -> Fact | None:
        """What was noted about the file as it is now."""
        key = _key(path)
        return None if key is None else self._facts.get(key)

    def note(self, path: Path, fact: Fact) -> None:
        """Keep a fact about the file as it is now."""
        key = _key(path)
        if key is not None and len(self._facts) < _MOST_KEPT:
            self._facts[key] = fact


def _key(path: Path) -> tuple[str, int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return str(path), status.st_mtime_ns, status.st_size
