"""Which decoder is exact for a file, judged by its packets. Measured in docs/decoding.md."""

from stvit_video.video.decoding.index import VideoIndex

DECORD_CODECS = frozenset({"h264", "vp8", "vp9"})
_SMALLEST_WIDTH = 80
"""decord refuses stored pictures that are 16, 24, 48 or 72 pixels wide, and those of 2 pixels."""


def doubt_of_decord(index: VideoIndex) -> str:
    """Say why decord might serve a wrong frame of this file, or none; empty where it is exact."""
    table = index.table
    width, height = index.stored_size
    reasons = {
        f"video streams: {index.num_videos}, of which stream {index.stream} is read": (
            index.num_videos > 1
        ),
        f"codec {table.codec}": table.codec not in DECORD_CODECS,
        table.doubt: not table.is_exact,
        f"{table.gop} groups of pictures": table.gop != "closed",
        f"hidden packets: {table.num_hidden}": table.num_hidden > 0,
        f"pixel format {index.pix_fmt}": index.pix_fmt not in ("yuv420p", "yuvj420p"),
        f"size {width}x{height}": width % 2 + height % 2 > 0 or width < _SMALLEST_WIDTH,
        "pictures that are cropped, mirrored or turned": not index.display.is_as_stored,
        "the file is cut off behind its last frame": index.is_cut,
        "no true length in the header": not index.has_declared_duration,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")
