"""Refuse an mp4 or mov whose header promises more than any video holds, before FFmpeg reads it: a
few bytes there make it ask for gigabytes, or search for seconds.
"""

import re
import struct
from typing import BinaryIO

from stvit_video.video.decoding.boxes import Box, HeaderError, read_at, walk_boxes

MOST_SAMPLES = 1 << 22
"""Pictures and pieces of sound in the tables of a file; FFmpeg keeps 24 bytes for each."""
MOST_EDITS = 1 << 10
"""Edits of a file; FFmpeg searches all pictures for each."""
MOST_HEADER_BYTES = 1 << 28
_MEDIA = (b"mdat", b"free", b"skip", b"wide", b"hoov")
_TABLES = re.compile(rb"stsz|stz2|trun|elst|cmov")
"""Looked for at every depth, as FFmpeg does: it takes a table wherever it stands."""
_SOUND_OF_ONE_TICK = re.compile(rb"stts\0{7}\x01.{4}\0{3}\x01", re.DOTALL)
"""Plain sound: a sample a tick, of which FFmpeg keeps the pieces alone."""


def check_tables(file: BinaryIO, num_bytes: int, *, whole: bool) -> None:
    """Check the tables of a file of `num_bytes`: up to its first header, or of the `whole` file.

    Raises:
        HeaderError: it promises more than `MOST_SAMPLES` or `MOST_EDITS`.
    """
    num_samples = num_edits = num_read = 0
    for box in walk_boxes(file, 0, num_bytes):
        if box.kind in _MEDIA and not _holds_header(file, box):
            continue
        size = max(min(box.end, num_bytes) - box.start, 0)
        num_read += size
        if num_read > MOST_HEADER_BYTES:
            raise HeaderError(f"its headers take more than {MOST_HEADER_BYTES >> 20} MiB")
        data = read_at(file, box.start, size)
        samples, edits = _promised(data, num_bytes)
        num_samples, num_edits = num_samples + samples, num_edits + edits
        if num_samples > MOST_SAMPLES:
            raise HeaderError(f"its tables promise more than {MOST_SAMPLES} samples")
        if num_edits > MOST_EDITS:
            raise HeaderError(f"it has more than {MOST_EDITS} edits")
        if box.kind == b"moov" and not whole:
            return


def _holds_header(file: BinaryIO, box: Box) -> bool:
    """Whether a box is a header that was set free; FFmpeg reads it."""
    return box.end - box.start >= 8 and read_at(file, box.start + 4, 4) == b"moov"


def _promised(data: bytes, num_bytes: int) -> tuple[int, int]:
    """Count the samples and the edits that the tables of a header promise."""
    num_samples = num_edits = 0
    for table in _TABLES.finditer(data):
        first, second, third = struct.unpack(
            ">3I", data[table.end() : table.end() + 12].ljust(12, b"\0")
        )
        if table[0] == b"cmov":
            raise HeaderError("its header is compressed")
        if table[0] == b"elst":
            num_edits += second
        elif table[0] == b"trun":
            num_samples += second
        elif first == 0 and not _is_plain_sound(data, second, third, num_bytes):
            num_samples += third
    return num_samples, num_edits


def _is_plain_sound(data: bytes, size: int, count: int, num_bytes: int) -> bool:
    return 0 < size * count <= num_bytes and _SOUND_OF_ONE_TICK.search(data) is not None
