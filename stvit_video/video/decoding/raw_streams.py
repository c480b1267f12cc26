"""Refuse raw H.264 and HEVC of more units than any clip has: FFmpeg may keep 4 KiB for each."""

from typing import BinaryIO

from stvit_video.video.decoding.boxes import HeaderError

MOST_UNITS = 1 << 16
"""Of a file; half an hour of pictures in one unit each, 30 a second."""
_START_CODE = b"\0\0\1"
_PIECE_BYTES = 1 << 20


def check_units(file: BinaryIO) -> None:
    """Count the start codes of a raw stream, which is read once for it.

    Raises:
        HeaderError: there are more than `MOST_UNITS`.
    """
    file.seek(0)
    num_units, rest = 0, b""
    while piece := file.read(_PIECE_BYTES):
        num_units += (rest + piece).count(_START_CODE)
        if num_units > MOST_UNITS:
            raise HeaderError(f"its raw stream has more than {MOST_UNITS} units")
        rest = piece[-2:]
