"""What the outermost bytes of a video file say, read without a decoder: how long the file should
be, and how far its pictures are turned.
"""

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MP4_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp", b"sidx", b"uuid"}
)
_MP4_NEEDED = frozenset({b"moov", b"mdat", b"moof"})
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_CLUSTER = b"\x1f\x43\xb6\x75"
_POSE_ROLL_PATH = (_SEGMENT, b"\x16\x54\xae\x6b", b"\xae", b"\xe0", b"\x76\x70", b"\x76\x75")


class Extent(NamedTuple):
    """Length of a file against the length that its own headers give."""

    is_video: bool
    """The first bytes are those of a container that is known here."""
    num_bytes: int
    declared_bytes: int
    """At least this many bytes make the file whole; 0 where the container does not say."""

    @property
    def is_cut(self) -> bool:
        """The file ends before its headers say."""
        return self.num_bytes < self.declared_bytes


class _Box(NamedTuple):
    kind: bytes
    start: int
    """First byte after the header."""
    end: int


def read_extent(path: Path) -> Extent:
    """Compare the size of an mp4, mov, mkv, webm or avi file with what its headers declare."""
    with path.open("rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        head = file.read(64)
        if head[4:8] in _MP4_BOXES:
            needed = [box.end for box in _boxes(file, 0, num_bytes) if box.kind in _MP4_NEEDED]
            return Extent(True, num_bytes, max(needed, default=0))
        if head.startswith(_EBML):
            return Extent(True, num_bytes, _segment_end(head))
        if head.startswith(b"RIFF"):
            return Extent(True, num_bytes, 8 + struct.unpack("<I", head[4:8])[0])
    return Extent(False, num_bytes, 0)


def read_rotation(path: Path) -> int:
    """Return the quarter turns, counterclockwise in degrees, that set the pictures upright.

    Known for mp4, mov, mkv and webm; other containers, and turns that are no multiple of 90
    degrees, give 0.
    """
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        head = file.read(64)
        if head[4:8] in _MP4_BOXES:
            return _mp4_rotation(file, end)
        if head.startswith(_EBML):
            return _matroska_rotation(file, end)
    return 0


def _mp4_rotation(file: BinaryIO, end: int) -> int:
    for track in _find_boxes(file, 0, end, (b"moov", b"trak")):
        handlers = list(_find_boxes(file, track.start, track.end, (b"mdia", b"hdlr")))
        headers = list(_find_boxes(file, track.start, track.end, (b"tkhd",)))
        if handlers and headers and _read_at(file, handlers[0].start + 8, 4) == b"vide":
            return _matrix_rotation(file, headers[0])
    return 0


def _matrix_rotation(file: BinaryIO, header: _Box) -> int:
    version = _read_at(file, header.start, 1)
    data = _read_at(file, header.start + (52 if version == b"\1" else 40), 36)
    if len(data) < 36:
        return 0
    a, b = struct.unpack(">ii", data[:8])
    degrees = -math.degrees(math.atan2(b, a))
    return round(degrees) % 360 if round(degrees) % 90 == 0 else 0


def _find_boxes(file: BinaryIO, start: int, end: int, kinds: tuple[bytes, ...]) -> Iterator[_Box]:
    for box in list(_boxes(file, start, end)):
        if box.kind != kinds[0]:
            continue
        if len(kinds) == 1:
            yield box
        else:
            yield from _find_boxes(file, box.start, box.end, kinds[1:])


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Box]:
    """Walk the boxes between two places of a file; the last one may reach past the end."""
    while start + 8 <= end:
        header = _read_at(file, start, 16)
        size, kind = struct.unpack(">I4s", header[:8])
        header_size = 8
        if size == 1 and len(header) == 16:
            size, header_size = struct.unpack(">Q", header[8:])[0], 16
        elif size == 0:
            size = end - start
        if size < header_size:
            return
        yield _Box(kind, start + header_size, start + size)
        start += size


def _read_at(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)


def _matroska_rotation(file: BinaryIO, end: int) -> int:
    """Follow Segment, Tracks, TrackEntry, Video, Projection to ProjectionPoseRoll."""
    start = 0
    for wanted in _POSE_ROLL_PATH:
        found = next((e for e in _elements(file, start, end) if e.kind == wanted), None)
        if found is None:
            return 0
        start, end = found.start, min(found.end, end)
    data = _read_at(file, start, end - start)
    layout = {4: ">f", 8: ">d"}.get(len(data))
    degrees = struct.unpack(layout, data)[0] if layout else 0.0
    return round(degrees) % 360 if degrees % 90 == 0 else 0


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[_Box]:
    """Walk the elements of a Matroska file between two places, up to the first cluster."""
    while start < end:
        head = _read_at(file, start, 12)
        if not head or head[0] == 0:
            return
        kind = head[: 9 - head[0].bit_length()]
        size, width = _ebml_number(head, len(kind))
        if width == 0 or kind == _CLUSTER:
            return
        body = start + len(kind) + width
        yield _Box(kind, body, end if size == (1 << 7 * width) - 1 else body + size)
        start = body + size


def _segment_end(head: bytes) -> int:
    """Where a Matroska segment ends, by its header; 0 for one written live, without a length."""
    size, width = _ebml_number(head, 4)
    start = 4 + width + size
    if head[start : start + 4] != _SEGMENT:
        return 0
    size, width = _ebml_number(head, start + 4)
    is_unknown = width == 0 or size == (1 << 7 * width) - 1
    return 0 if is_unknown else start + 4 + width + size


def _ebml_number(data: bytes, start: int) -> tuple[int, int]:
    """Read a number of variable length: its value and its bytes; (0, 0) where there is none."""
    if start >= len(data) or data[start] == 0:
        return 0, 0
    width = 9 - data[start].bit_length()
    value = int.from_bytes(data[start : start + width], "big")
    return value & (1 << 7 * width) - 1, width
