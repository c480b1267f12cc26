"""The errors that a user can cause. The command line prints their one line and exits with 2."""

from difflib import get_close_matches
from pathlib import Path
from typing import Literal


class StvitVideoError(Exception):
    """Something that the user can mend; its text names the thing, its value and the rule."""


class ConfigError(StvitVideoError, ValueError):
    """A setting or an argument is wrong."""


class DatasetError(StvitVideoError, ValueError):
    """An annotation file, a manifest or a folder of videos cannot be used as it stands."""


class CheckpointError(StvitVideoError, ValueError):
    """Weights that do not belong to the model, or a file that holds no weights."""


class StateDictError(CheckpointError, RuntimeError):
    """A state dict of another setting than the model's; torch's own is a `RuntimeError`, too."""


class MissingFileError(StvitVideoError, FileNotFoundError):
    """A path that does not exist (videos have `VideoDecodeError` with reason `missing`)."""


class WriteError(StvitVideoError, OSError):
    """A file or a folder that cannot be written: no right to, no room, not a folder."""


class TrainingError(StvitVideoError, ArithmeticError):
    """A training that cannot go on: its loss is no number."""


class ExportError(StvitVideoError, ValueError):
    """A network that a format cannot hold, or an exported file that computes something else."""


class WorkerDiedError(StvitVideoError, RuntimeError):
    """A process that prepares batches has died: killed by the system, or by what it decoded."""


DecodeReason = Literal[
    "missing",
    "empty",
    "not a video",
    "no video stream",
    "no frames",
    "truncated",
    "too large",
    "too slow",
    "corrupt",
    "wrong backend",
]


class VideoDecodeError(StvitVideoError):
    """A video that cannot be read: which file, by which backend, at which stage, and why."""

    def __init__(
        self, path: Path, *, backend: str, stage: str, reason: DecodeReason, detail: str = ""
    ) -> None:
        self.path = path
        self.backend = backend
        self.stage = stage
        self.reason = reason
        self.detail = detail
        super().__init__(path, backend, stage, reason, detail)

    def __str__(self) -> str:
        """One line: path, reason, detail, and who met it where."""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.path}: {self.reason}{detail} ({self.backend}, {self.stage})"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the pickling between loader workers and the parent."""
        return _rebuild_decode_error, (
            self.path,
            self.backend,
            self.stage,
            self.reason,
            self.detail,
        )


def _rebuild_decode_error(
    path: Path, backend: str, stage: str, reason: DecodeReason, detail: str
) -> VideoDecodeError:
    return VideoDecodeError(path, backend=backend, stage=stage, reason=reason, detail=detail)


class ImageDecodeError(StvitVideoError):
    """An image that cannot be read: which file, and why."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(path, problem)

    def __str__(self) -> str:
        """One line: path and problem."""
        return f"{self.path}: {self.problem}"


def did_you_mean(name: str, known: list[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or nothing when none is near."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
