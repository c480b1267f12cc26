"""A list of finished work that grows line by line, so that a run which was stopped goes on."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stvit_video.files import writing


class Journal:
    """JSON lines on disk, one per file that was dealt with; the last line for a file counts.

    A file that has changed since, by its size or time, or that was dealt with under another
    `setting`, is unknown to the journal.
    """

    def __init__(self, path: Path, *, setting: str = "") -> None:
        self.path = path
        self.setting = setting
        self._results: dict[str, Any] = {}
        self._read()
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        if self._ends_within_a_line():
            self._file.write("\n")

    def find(self, video: Path) -> Any:
        """What was noted about a file, or None."""
        return self._results.get(self._key(video))

    def note(self, video: Path, result: Any) -> None:
        """Write down what became of a file; `result` is anything that JSON can hold."""
        key = self._key(video)
        self._results[key] = result
        with writing(self.path):
            self._file.write(json.dumps({"key": key, "result": result}) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

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

    def _key(self, video: Path) -> str:
        try:
            status = video.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        return f"{self.setting}|{state}|{video.absolute()}"

    def _read(self) -> None:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                self._results[entry["key"]] = entry["result"]
            except (ValueError, KeyError, TypeError):
                continue  # a line that was being written when the run was stopped

    def _ends_within_a_line(self) -> bool:
        data = self.path.read_bytes()
        return bool(data) and not data.endswith(b"\n")
