"""Say why a video cannot be opened, in the words of `VideoDecodeError`."""

from pathlib import Path

from stvit_video.errors import DecodeReason, VideoDecodeError
from stvit_video.video.container import Extent, read_extent


def check_file(path: Path, *, backend: str) -> Extent:
    """Refuse what no decoder needs to see: a path without a file, a folder, an empty file.

    Raises:
        VideoDecodeError: reason `missing`, `not a video` or `empty`.
    """
    reason: DecodeReason = "missing"
    detail = ""
    try:
        extent = read_extent(path)
        if extent.num_bytes:
            return extent
        reason = "empty"
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        reason, detail = "not a video", "it is a folder"
    except OSError as error:
        detail = error.strerror or type(error).__name__
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
