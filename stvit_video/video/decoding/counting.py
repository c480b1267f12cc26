"""Decode from the start of a file and count, where its packets do not tell which pictures are
shown, or where it is damaged.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.stream import decode_all

_HELD_BYTES = 1 << 28
"""Of pictures that are kept so that FFmpeg takes other memory for the next ones."""


def pick_frames(
    open_file: Callable[[], tuple[Any, Any]], codec: str, targets: Sequence[int]
) -> tuple[list[Any], int | None]:
    """Decode ascending `targets` of the stream that `open_file` opens.

    Returns a `VideoFrame` each, fewer where the file ends before, and the first target whose
    picture cannot be told, or None: FFmpeg mends damaged H.264 with what its memory held before,
    so that two decodings of it may differ.
    """
    frames = _count(*open_file(), targets, num_held=0)
    if codec != "h264" or not frames:
        return frames, None
    size = frames[0].width * frames[0].height * 2
    again = _count(*open_file(), targets, num_held=_HELD_BYTES // size)
    differing = (
        target
        for target, one, other in zip(targets, frames, again, strict=False)
        if not _is_same(one, other)
    )
    return frames, next(differing, None)


def _count(container: Any, stream: Any, targets: Sequence[int], *, num_held: int) -> list[Any]:
    wanted = set(targets)
    held: deque[Any] = deque(maxlen=num_held)
    frames: list[Any] = []
    for number, frame in enumerate(decode_all(container, stream)):
        if number in wanted:
            frames.append(frame)
        held.append(frame)
        if number == targets[-1]:
            break
    return frames


def _is_same(one: Any, other: Any) -> bool:
    pictures = [
        convert(frame, "rgb24", width=one.width, height=one.height).to_ndarray()
        for frame in (one, other)
    ]
    return np.array_equal(*pictures)
