"""What the server and its workers tell each other. No library: the server needs none of theirs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysisSettings:
    """Which models look at a video, and how much of it."""

    checkpoints: tuple[str, ...]
    """The first that gathers tokens has its clusters drawn."""
    window: float | None
    """Seconds; None for what one clip of the model covers."""
    stride: float | None
    """Seconds from one window to the next; None for the window."""
    max_duration: float
    """Seconds of a video that are looked at, from its start."""
    top_k: int
    max_pixels: int
    max_memory: int
    """Bytes that a worker may take beyond its models, where the system can bound them."""
    device: str


class Job(NamedTuple):
    """A video, and where the page of its clusters goes."""

    video: Path
    page: Path


class Answer(NamedTuple):
    """What a worker found, or why it refuses the video."""

    found: dict[str, Any] | None
    error: str = ""
    """One line without a path."""
