"""What a process has found out about files, so that it looks once at each of those in use."""

from pathlib import Path
from typing import Generic, TypeVar

Fact = TypeVar("Fact")
MOST_KEPT = 4096
"""Files; a worker of a large data set meets each once an epoch and would keep them for nothing."""


class KnownFiles(Generic[Fact]):
    """One fact per file, for the `MOST_KEPT` files that were asked for last.

    A file that has changed, by its size or time, is unknown again.
    """

    def __init__(self) -> None:
        self._facts: dict[tuple[str, int, int], Fact] = {}

    def recall(self, path: Path) -> Fact | None:
        """What was noted about the file as it is now."""
        key = _key(path)
        if key is None or key not in self._facts:
            return None
        self._facts[key] = fact = self._facts.pop(key)  # now the last to be dropped
        return fact

    def note(self, path: Path, fact: Fact) -> None:
        """Keep a fact about the file as it is now."""
        key = _key(path)
        if key is None:
            return
        self._facts.pop(key, None)
        self._facts[key] = fact
        if len(self._facts) > MOST_KEPT:
            del self._facts[next(iter(self._facts))]


def _key(path: Path) -> tuple[str, int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return str(path), status.st_mtime_ns, status.st_size
