"""Decode from the start of a file and count, where its packets do not tell which pictures are
shown, or where it is damaged.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.stream import decode_all

_HELD_BYTES = 1 << 28
"""Of pictures that are kept so that FFmpeg takes other memory for the next ones."""


def pick_frames(
    open_file: Callable[[], tuple[Any, Any]], codec: str, targets: Sequence[int]
) -> Iterator[tuple[Any, bool]]:
    """Decode ascending `targets` of the stream that `open_file` opens.

    Yields a `VideoFrame` each, fewer where the file ends before, and whether its picture can be
    told: FFmpeg mends damaged H.264 with what its memory held before, so that two decodings of it
    may differ.
    """
    frames = _count(open_file, targets)
    if codec != "h264":
        yield from ((frame, True) for frame in frames)
        return
    again = _count(open_file, targets, held_bytes=_HELD_BYTES)
    for frame, other in zip_longest(frames, again):
        if frame is not None:
            yield frame, other is not None and _is_same(frame, other)


def _count(
    open_file: Callable[[], tuple[Any, Any]], targets: Sequence[int], *, held_bytes: int = 0
) -> Iterator[Any]:
    wanted, held = set(targets), deque[Any]()
    container, stream = open_file()
    with container:
        for number, frame in enumerate(decode_all(container, stream)):
            if number in wanted:
                yield frame
            if number == targets[-1]:
                return
            held.append(frame)
            if len(held) > held_bytes // (2 * frame.width * frame.height):
                held.popleft()


def _is_same(one: Any, other: Any) -> bool:
    pictures = [
        convert(frame, "rgb24", width=one.width, height=one.height).to_ndarray()
        for frame in (one, other)
    ]
    return np.array_equal(*pictures)
