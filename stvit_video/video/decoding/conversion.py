"""Convert decoded pictures to other pixels and sizes. The only place that does it with PyAV.

`frame.to_ndarray(format=...)` and `frame.reformat(...)` start a converter for every picture, with a
thread for each core, or share one for whose threads a forked worker waits without end. Here one is
kept, and it owns no threads.
"""

import os
import threading
from typing import Any

import av
from av.video.reformatter import VideoReformatter

PYAV_VERSION = int(av.__version__.split(".")[0])
"""Of the installed PyAV, the major number."""
_ONE_THREAD = {"threads": 1} if PYAV_VERSION >= 17 else {}
"""Earlier converters have one thread and no such argument."""


class _Kept(threading.local):
    """The converter of a thread, and the process that made it."""

    converter: Any = None
    process = 0


_kept = _Kept()


def convert(
    frame: Any, pix_fmt: str, *, width: int, height: int, interpolation: str | None = None
) -> Any:
    """Return a `VideoFrame` of PyAV in another pixel format and size, in pixels.

    `interpolation` is a name of libswscale, `BILINEAR` unless given.
    """
    if _kept.process != os.getpid():  # the first picture of this thread, or of a forked worker
        _kept.converter, _kept.process = VideoReformatter(), os.getpid()
    return _kept.converter.reformat(
        frame, width, height, pix_fmt, interpolation=interpolation, **_ONE_THREAD
    )
