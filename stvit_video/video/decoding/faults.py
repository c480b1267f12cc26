"""Say why a video cannot be opened, in the words of `VideoDecodeError`, and refuse what no decoder
is to see.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stvit_video.errors import DecodeReason, VideoDecodeError
from stvit_video.video.decoding.boxes import HeaderError
from stvit_video.video.decoding.container import Extent, read_extent
from stvit_video.video.decoding.formats import HEAD_BYTES, demuxer_of, what_it_is
from stvit_video.video.decoding.mp4_tables import check_tables
from stvit_video.video.decoding.raw_streams import check_units

ALIGNMENT = 1 << 21
"""Pixels that decoders may put around a picture."""


def check_head(path: Path, *, backend: str) -> str:
    """Return FFmpeg's name of the container that a file is, by its content alone.

    Raises:
        VideoDecodeError: reason `missing`, `empty`; `not a video` for what is no file, or none of
            a container that is read; `corrupt` for a header that promises too much.
    """
    reason, detail = _path_fault(path)
    if reason is not None:
        raise VideoDecodeError(path, backend=backend, stage="open", reason=reason, detail=detail)
    with header_faults(path, backend=backend), path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        demuxer = demuxer_of(head)
        if demuxer == "mov":
            check_tables(file, os.fstat(file.fileno()).st_size, whole=False)
        if demuxer in ("h264", "hevc"):
            check_units(file)
    if demuxer:
        return demuxer
    raise VideoDecodeError(
        path, backend=backend, stage="open", reason="not a video", detail=what_it_is(head)
    )


def check_file(path: Path, *, backend: str) -> Extent:
    """Refuse what no decoder is to see, and look at all headers of the rest.

    Raises:
        VideoDecodeError: as `check_head` does, for all headers.
    """
    check_head(path, backend=backend)
    with header_faults(path, backend=backend):
        return read_extent(path)


@contextmanager
def header_faults(path: Path, *, backend: str) -> Iterator[None]:
    """Say what goes wrong when headers are read.

    Raises:
        VideoDecodeError: the file went away, or its headers are of no video.
    """
    reason: DecodeReason
    try:
        yield
    except OSError as error:
        reason, detail = "missing", error.strerror or type(error).__name__
    except HeaderError as error:
        reason, detail = "corrupt", str(error)
    else:
        return
    raise VideoDecodeError(path, backend=backend, stage="open", reason=reason, detail=detail)


def open_fault(path: Path, extent: Extent, *, backend: str) -> VideoDecodeError:
    """Explain a file that a decoder refuses to open."""
    reason: DecodeReason = "corrupt"
    detail = "its index cannot be read"
    if extent.is_cut:
        reason = "truncated"
        detail = f"header says {extent.declared_bytes} bytes, {extent.num_bytes} are there"
    return VideoDecodeError(path, backend=backend, stage="open", reason=reason, detail=detail)


def check_size(path: Path, width: int, height: int, *, backend: str, max_pixels: int) -> None:
    """Refuse pictures of more than `max_pixels`.

    Raises:
        VideoDecodeError: reason `too large`.
    """
    if width * height > max_pixels:
        detail = (
            f"pictures of {width}x{height}, more than max_pixels ({max_pixels}) allows;"
            " scale the video down, or raise data.max_pixels"
        )
        raise VideoDecodeError(
            path, backend=backend, stage="open", reason="too large", detail=detail
        )


def check_coded_size(path: Path, context: Any, *, backend: str, max_pixels: int) -> None:
    """Refuse a decoder's pictures that are larger than `max_pixels` before they are cut.

    Raises:
        VideoDecodeError: reason `too large`.
    """
    width, height = context.coded_width, context.coded_height
    if width * height > max_pixels + ALIGNMENT:
        check_size(path, width, height, backend=backend, max_pixels=max_pixels)


def wrong_backend(path: Path, detail: str, *, backend: str) -> VideoDecodeError:
    """Explain a sound file of which a decoder is known to serve wrong pictures."""
    return VideoDecodeError(
        path,
        backend=backend,
        stage="open",
        reason="wrong backend",
        detail=f"{detail}; use auto or pyav",
    )


def _path_fault(path: Path) -> tuple[DecodeReason | None, str]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return "missing", ""
    except (OSError, ValueError) as error:  # no permission, a name too long, a null byte
        return "missing", getattr(error, "strerror", None) or str(error)
    if stat.S_ISDIR(status.st_mode):
        return "not a video", "it is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "not a video", "it is no regular file"
    return (None, "") if status.st_size else ("empty", "")
