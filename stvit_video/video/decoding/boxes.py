"""Walk the boxes of an mp4 or mov file, in a time that no file can make long."""

import struct
from collections.abc import Iterator
from itertools import count
from typing import BinaryIO, NamedTuple

MOST_PARTS = 1 << 18
"""Parts of a file, one behind the other: three for each second of a day. About half a second."""


class HeaderError(ValueError):
    """The headers of a file are of no video; the text says what they hold."""


class Box(NamedTuple):
    """A part of a file."""

    kind: bytes
    start: int
    """First byte after the header."""
    end: int


def find_boxes(file: BinaryIO, start: int, end: int, kinds: tuple[bytes, ...]) -> Iterator[Box]:
    """Find boxes of the last kind, each inside one of the kind before it.

    Raises:
        HeaderError: there are too many boxes.
    """
    for box in list(walk_boxes(file, start, end)):
        if box.kind != kinds[0]:
            continue
        if len(kinds) == 1:
            yield box
        else:
            yield from find_boxes(file, box.start, box.end, kinds[1:])


def walk_boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """Walk the boxes between two places of a file; the last one may reach past the end.

    Raises:
        HeaderError: there are too many boxes.
    """
    for number in count():
        header = read_at(file, start, 16) if start + 8 <= end else b""
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header[:8])
        header_size = 8
        if size == 1 and len(header) == 16:
            size, header_size = struct.unpack(">Q", header[8:])[0], 16
        elif size == 0:
            size = end - start
        if size < header_size:
            return
        check_count(number)
        yield Box(kind, start + header_size, start + size)
        start += size


def check_count(number: int) -> None:
    """Refuse a part of a file of too high a number, from 0.

    Raises:
        HeaderError: it is one too many.
    """
    if number >= MOST_PARTS:
        raise HeaderError(f"its headers have more than {MOST_PARTS} parts")


def read_at(file: BinaryIO, start: int, num_bytes: int) -> bytes:
    """Read up to `num_bytes`; a damaged header may point far behind the end of any file."""
    if start >= 1 << 62:
        return b""
    file.seek(start)
    return file.read(num_bytes)
