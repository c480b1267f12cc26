"""What the header of a video file says, read without a decoder: how long the file should be, and
what a player cuts away from its pictures.
"""

import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

from stvit_video.video.decoding.boxes import Box, check_count, find_boxes, read_at, walk_boxes
from stvit_video.video.decoding.display import Crop
from stvit_video.video.decoding.formats import EBML, MP4_BOXES
from stvit_video.video.decoding.mp4_tables import check_tables

_MP4_NEEDED = frozenset({b"moov", b"mdat", b"moof"})
_SEGMENT = b"\x18\x53\x80\x67"
_CLUSTER = b"\x1f\x43\xb6\x75"
_TRACKS = b"\x16\x54\xae\x6b"
_TRACK = b"\xae"
_TRACK_KIND = b"\x83"
_TRACK_KINDS = (1, 2, 17, 33)
"""Video, audio, subtitles, metadata: the tracks that FFmpeg counts as streams."""
_VIDEO = b"\xe0"
_CROPS = (b"\x54\xcc", b"\x54\xbb", b"\x54\xdd", b"\x54\xaa")  # left, top, right, bottom
_SAMPLE_ENTRY_BYTES = 78
"""Of an mp4 track of pictures, ahead of the boxes inside."""


class Extent(NamedTuple):
    """Length of a file against the length that its own headers give."""

    num_bytes: int
    declared_bytes: int
    """At least this many bytes make the file whole; 0 where the container does not say."""

    @property
    def is_cut(self) -> bool:
        """The file ends before its headers say."""
        return self.num_bytes < self.declared_bytes


def read_extent(path: Path) -> Extent:
    """Compare the size of an mp4, mov, mkv, webm or avi file with what its headers declare.

    Raises:
        HeaderError: its headers are of no video.
    """
    with path.open("rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        head = file.read(64)
        if head[4:8] in MP4_BOXES:
            check_tables(file, num_bytes, whole=True)
            needed = [box.end for box in walk_boxes(file, 0, num_bytes) if box.kind in _MP4_NEEDED]
            return Extent(num_bytes, max(needed, default=0))
        if head.startswith(EBML):
            return Extent(num_bytes, _segment_end(head))
        if head.startswith(b"RIFF"):
            return Extent(num_bytes, 8 + int.from_bytes(head[4:8], "little"))
    return Extent(num_bytes, 0)


def read_crop(path: Path, *, stream_index: int, track_id: int) -> Crop:
    """Return what a clean aperture (mp4, mov) or the crop of a track (mkv, webm) cuts away.

    FFmpeg knows a track of mp4 by its own `track_id`, one of Matroska by its place alone.

    Raises:
        HeaderError: its headers are of no video.
    """
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        head = file.read(64)
        if head[4:8] in MP4_BOXES:
            return _mp4_crop(file, end, track_id)
        if head.startswith(EBML):
            return _matroska_crop(file, end, stream_index)
    return Crop()


def _mp4_crop(file: BinaryIO, end: int, track_id: int) -> Crop:
    for track in find_boxes(file, 0, end, (b"moov", b"trak")):
        header = next(find_boxes(file, track.start, track.end, (b"tkhd",)), None)
        if header is None:
            continue
        version = read_at(file, header.start, 1)
        id_at = header.start + (20 if version == b"\1" else 12)
        if int.from_bytes(read_at(file, id_at, 4), "big") != track_id:
            continue
        kinds = (b"mdia", b"minf", b"stbl", b"stsd")
        for table in find_boxes(file, track.start, track.end, kinds):
            entry = next(walk_boxes(file, table.start + 8, table.end), None)
            if entry is not None:
                return _aperture(file, entry)
    return Crop()


def _aperture(file: BinaryIO, entry: Box) -> Crop:
    """Turn a clean aperture, centred but for an offset, into what lies around it."""
    size = struct.unpack(">2H", read_at(file, entry.start + 24, 4).ljust(4, b"\0"))
    inside = entry.start + _SAMPLE_ENTRY_BYTES
    box = next(find_boxes(file, inside, entry.end, (b"clap",)), None)
    data = read_at(file, box.start, 32) if box else b""
    if len(data) < 32:
        return Crop()
    width, height, right, down = struct.unpack(">4Q", data)
    before_after: list[int] = []
    for full, kept, offset in ((size[0], width, right), (size[1], height, down)):
        kept_pixels, shift = _rational(kept), _rational(offset)
        if kept_pixels is None or shift is None:
            return Crop()
        before = int(Fraction(full, 2) + shift - kept_pixels / 2)
        before_after += [before, full - int(Fraction(full, 2) + shift + kept_pixels / 2)]
    left, right, top, bottom = before_after
    return Crop(left, top, right, bottom) if min(before_after) >= 0 else Crop()


def _rational(number: int) -> Fraction | None:
    """Read a numerator and a denominator of 4 bytes each, with their signs."""
    numerator, denominator = struct.unpack(">2i", number.to_bytes(8, "big"))
    return Fraction(numerator, denominator) if denominator > 0 else None


def _matroska_crop(file: BinaryIO, end: int, stream_index: int) -> Crop:
    """Follow Segment, Tracks, TrackEntry, Video to the four PixelCrop elements."""
    tracks = Box(b"", 0, end)
    for wanted in (_SEGMENT, _TRACKS):
        inside = _elements(file, tracks.start, min(tracks.end, end))
        found = next((element for element in inside if element.kind == wanted), None)
        if found is None:
            return Crop()
        tracks = found
    streams = []
    for track in _elements(file, tracks.start, tracks.end):
        parts = {part.kind: part for part in _elements(file, track.start, track.end)}
        if track.kind == _TRACK and _number(file, parts.get(_TRACK_KIND)) in _TRACK_KINDS:
            streams.append(parts)
    if stream_index >= len(streams) or _VIDEO not in streams[stream_index]:
        return Crop()
    video = streams[stream_index][_VIDEO]
    parts = {part.kind: part for part in _elements(file, video.start, video.end)}
    return Crop(*(_number(file, parts.get(kind)) for kind in _CROPS))


def _number(file: BinaryIO, element: Box | None) -> int:
    """Read an unsigned number; 0 where there is none."""
    if element is None:
        return 0
    return int.from_bytes(read_at(file, element.start, min(element.end - element.start, 8)), "big")


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """Walk the elements of a Matroska file between two places, up to the first cluster."""
    for number in count():
        head = read_at(file, start, 12) if start < end else b""
        if not head or head[0] == 0:
            return
        kind = head[: 9 - head[0].bit_length()]
        size, width = _ebml_number(head, len(kind))
        if width == 0 or kind == _CLUSTER:
            return
        check_count(number)
        body = start + len(kind) + width
        yield Box(kind, body, end if size == (1 << 7 * width) - 1 else body + size)
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
