"""How prepared videos are encoded. Imports no torch: `--help` stays instant.

No slots: jsonargparse reads the defaults by `vars`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from stvit_video.settings.bounds import Range, check_settings

Purpose = Literal["dense", "segments", "any"]
"""How the new videos will be read; `DataConfig.sampling` says more of the first two."""

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

    short_side: Annotated[int, Range(least=16, most=8192)] = 256
    """Pixels of the shorter side; smaller videos keep their size."""
    gop: Annotated[int, Range(least=1, most=1000)] | None = None
    """Frames from one key frame to the next; None takes what suits the purpose: 16 for any, 1 for
    segments, about 32 for dense."""
    crf: Annotated[int, Range(least=0, most=51)] = 20
    """Quality, from 0 (lossless) to 51; a lower number makes larger files."""
    preset: Preset = "fast"
    """x264's trade of encoding time for file size."""
    tune: Tune = "fastdecode"
    """x264's tuning; this one leaves out what is slow to decode."""

    def __post_init__(self) -> None:
        check_settings("encode", self)
