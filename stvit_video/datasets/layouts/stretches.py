"""Parts of a file that a list names, in frames or in seconds."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from stvit_video.errors import DatasetError


class Stretch(NamedTuple):
    """A part of a file, from `start` to ahead of `end`."""

    start: float
    end: float
    """-1 for the end of the file."""
    in_seconds: bool = False
    """Otherwise in frames."""

    def in_frames(self, fps: float) -> tuple[int, int]:
        """Return the first frame and that behind the last, to the nearest; -1 stays."""
        factor = fps if self.in_seconds else 1
        return round(self.start * factor), -1 if self.end < 0 else round(self.end * factor)


WHOLE = Stretch(0, -1)


def parse_stretch(values: Mapping[str, str], where: str) -> Stretch:
    """Read the stretch of a file by the names of columns: frames or seconds, or the whole of it.

    Raises:
        DatasetError: it is in frames and seconds, or is no stretch.
    """
    units = [
        unit
        for unit in ("frame", "seconds")
        if values.get(f"start_{unit}") or values.get(f"end_{unit}")
    ]
    if not units:
        return WHOLE
    if len(units) > 1:
        raise DatasetError(f"{where}: the stretch is in frames and in seconds; keep one of them")
    unit = units[0]
    numbers = []
    for side, missing in (("start", 0.0), ("end", -1.0)):
        text = values.get(f"{side}_{unit}", "")
        try:
            number = _seconds(text) if text else missing
        except ValueError:
            number = math.nan
        is_wrong = not math.isfinite(number) or (number < 0 and number != missing)
        if is_wrong or (unit == "frame" and number % 1):
            raise DatasetError(f"{where}: {side}_{unit} ({text}) must be a number of at least 0")
        numbers.append(number)
    start, end = numbers
    if 0 <= end <= start:
        raise DatasetError(f"{where}: the stretch ends ({end:g}) where it begins ({start:g})")
    if (start, end) == WHOLE[:2]:
        return WHOLE
    return Stretch(start, end, in_seconds=unit == "seconds")


def _seconds(text: str) -> float:
    """Read a number, or a time such as 01:02:03.5."""
    parts = text.split(":")
    if len(parts) > 3:
        raise ValueError(text)
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + float(part)
    return seconds
