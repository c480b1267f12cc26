"""How prepared videos are encoded. Imports no torch: `--help` stays instant.

No slots: jsonargparse reads the defaults by `vars`.
"""

from dataclasses import dataclass
from typing import Literal

from stvit_video.errors import ConfigError

Preset = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
]
Tune = Literal["fastdecode", "film", "animation", "grain", "stillimage"]


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """How the new videos are encoded, in H.264."""

    short_side: int = 256
    """Pixels of the shorter side; smaller videos keep their size."""
    gop: int = 16
    """Frames from one key frame to the next: the most that are decoded to reach any frame."""
    crf: int = 20
    """Quality, from 0 (lossless) to 51; a lower number makes larger files."""
    preset: Preset = "fast"
    """x264's trade of encoding time for file size."""
    tune: Tune = "fastdecode"
    """x264's tuning; this one leaves out what is slow to decode."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("short_side", self.short_side, 16, 8192),
            ("gop", self.gop, 1, 1000),
            ("crf", self.crf, 0, 51),
        ):
            if not low <= value <= high:
                raise ConfigError(f"encode.{name} ({value}) must be in {low}..{high}")
