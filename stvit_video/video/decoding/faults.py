"""Say why a video cannot be opened, in the words of `VideoDecodeError`."""

import os
import stat
from pathlib import Path

from stvit_video.errors import DecodeReason, VideoDecodeError
from stvit_video.video.decoding.container import Extent, read_extent


def check_file(path: Path, *, backend: str) -> Extent:
    """Refuse what no decoder needs to see: a path without a file, a folder, an empty file.

    Raises:
        VideoDecodeError: reason `missing`, `not a video` or `empty`.
    """
    reason, detail = _path_fault(path)
    if reason is None:
        try:
            return read_extent(path)
        except OSError as error:
            reason, detail = "missing", error.strerror or type(error).__name__
    raise VideoDecodeError(path, backend=backend, stage="open", reason=reason, detail=detail)


def open_fault(path: Path, extent: Extent, *, backend: str) -> VideoDecodeError:
    """Explain a file that a decoder refuses to open."""
    reason: DecodeReason = "not a video"
    detail = ""
    if extent.is_cut:
        reason = "truncated"
        detail = f"header says {extent.declared_bytes} bytes, {extent.num_bytes} are there"
    elif extent.is_video:
        reason, detail = "corrupt", "its index cannot be read"
    return VideoDecodeError(path, backend=backend, stage="open", reason=reason, detail=detail)


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
