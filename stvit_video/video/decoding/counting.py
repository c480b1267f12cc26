"""Decode from the start of a file and count, where its packets do not tell which pictures are
shown, or where it is damaged.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.packets import PacketTable
from stvit_video.video.decoding.stream import decode_or_none

_MOST_REORDERED = 16
"""Pictures of H.264 that may be decoded after one that they are shown ahead of."""
_HELD_BYTES = 1 << 28
"""Of pictures that are kept so that FFmpeg takes other memory for the next ones."""


class Counted(NamedTuple):
    """What came of counting."""

    frames: list[Any]
    """A `VideoFrame` of PyAV for each target; fewer where the file ends before."""
    touched: list[int]
    """The targets that damage may have touched."""


def pick_frames(
    open_file: Callable[[], tuple[Any, Any]], table: PacketTable, targets: Sequence[int]
) -> tuple[list[Any], int | None]:
    """Decode ascending `targets` of the stream that `open_file` opens.

    Returns a `VideoFrame` each, fewer where the file ends before, and the first target whose
    picture cannot be told, or None: FFmpeg mends damaged H.264 with what its memory held before,
    so that two decodings of it may differ.
    """
    frames, touched = _count(*open_file(), table, targets, num_held=0)
    if not touched:
        return frames, None
    size = frames[0].width * frames[0].height * 2
    again, _ = _count(*open_file(), table, targets, num_held=_HELD_BYTES // size)
    for target, one, other in zip(targets, frames, again, strict=True):
        if target in touched and not _is_same(one, other):
            return frames, target
    return frames, None


def _count(
    container: Any, stream: Any, table: PacketTable, targets: Sequence[int], *, num_held: int
) -> Counted:
    is_fickle = table.codec == "h264"
    entry_times = set(table.times[table.entries].tolist())
    wanted, last = set(targets), targets[-1] + (_MOST_REORDERED if is_fickle else 0)
    held: deque[Any] = deque(maxlen=num_held)
    frames: list[Any] = []
    entries, broken, number = [0], [], -1
    for frame in decode_or_none(container, stream):
        number += frame is not None
        if frame is None or frame.is_corrupt:
            broken.append(max(number, 0))
        elif frame.pts in entry_times:
            entries.append(number)
        if frame is not None and number in wanted:
            frames.append(frame)
        held.append(frame)
        if number == last:
            break
    touched = []
    for target in targets[: len(frames)] if is_fickle else ():
        entry = entries[bisect_right(entries, target) - 1]
        if any(entry <= place <= target + _MOST_REORDERED for place in broken):
            touched.append(target)
    return Counted(frames, touched)


def _is_same(one: Any, other: Any) -> bool:
    pictures = [
        convert(frame, "rgb24", width=one.width, height=one.height).to_ndarray()
        for frame in (one, other)
    ]
    return np.array_equal(*pictures)
