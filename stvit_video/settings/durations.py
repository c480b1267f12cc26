"""Lengths of time as people write them: `2s`, `500ms`, `1:30`, `2`."""

import re
from typing import Annotated

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import shorten

_NUMBER = r"\d+(?:\.\d+)?|\.\d+"
_WITH_UNIT = re.compile(rf"({_NUMBER})\s*(ms|s|m|min|h)?")
_CLOCK = re.compile(rf"(?:(\d+):)?(\d+):({_NUMBER})")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, None: 1.0}
_LEAST, _MOST = 0.01, 86_400.0


def parse_duration(name: str, text: str) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigError: it is none, or not within 10 ms and 24 hours.
    """
    words = str(text).strip()
    if match := _WITH_UNIT.fullmatch(words):
        seconds = float(match[1]) * _SECONDS[match[2]]
    elif match := _CLOCK.fullmatch(words):
        seconds = 3600 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])
    else:
        seconds = 0.0
    if not _LEAST <= seconds <= _MOST:
        raise ConfigError(
            f"{name} ({shorten(text)}) must be a duration of 10ms to 24h, such as 2s, 500ms or 1:30"
        )
    return seconds


def _check(name: str, text: str) -> None:
    parse_duration(name, text)


Duration = Annotated[str, _check]
