"""The packet table of a video: which pictures the container shows, in which order, and where
decoding may start. Made from one pass over the packets; nothing is decoded.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import IntFlag
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stvit_video.video.decoding.payload import packet_reader

GopKind = Literal["closed", "open", "unknown"]

TIMED_FORMATS = frozenset({"mov", "matroska"})
"""First names of the container formats whose timestamps belong to pictures, one each."""
TIMED_CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "mjpeg", "ffv1", "png", "prores", "dnxhd"}
)
"""Codecs of which one packet yields one picture with the packet's own timestamp."""


NO_TIME = np.iinfo(np.int64).min
"""Stands for a timestamp that a packet does not have."""


class Mark(IntFlag):
    """What is known of a packet, as one byte of a table."""

    SHOWN = 1
    """A picture comes out for it: no edit list discards it, it is not hidden and not empty."""
    KEY = 2
    """The container calls it a key frame."""
    ENTRY = 4
    """Decoding may start at it."""
    REFERENCE = 8
    """Other pictures may be predicted from it."""
    CORRUPT = 16
    """The container calls it damaged."""
    UNSOUND = 32
    """Its bytes, or the container, say that it is damaged."""
    LISTED = 64
    """The container's table lists it among the key frames; FFmpeg may see that it is none."""


class EntryPoint(NamedTuple):
    """A packet at which decoding may start."""

    position: int
    """Place among all packets, in the order of the file."""
    pts: int
    dts: int


@dataclass(frozen=True, kw_only=True)
class PacketTable:
    """What one pass over the N packets of a video stream tells. Times are ticks of the stream."""

    format_name: str
    """First name of the container format, as FFmpeg calls it."""
    codec: str
    times: NDArray[np.int64]
    """(N,): when the picture of each packet is shown, in the order of the file, or `NO_TIME`."""
    marks: NDArray[np.uint8]
    """(N,): each packet's `Mark`."""
    entry_dts: NDArray[np.int64]
    """Decoding time of each packet at which decoding may start."""
    last_duration: int
    """Of the picture that is shown last."""

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Where the packet of each shown picture stands among all packets of the file."""
        shown = np.flatnonzero(self._has(Mark.SHOWN) & (self.times != NO_TIME))
        return shown[np.argsort(self.times[shown], kind="stable")]

    @cached_property
    def pts(self) -> NDArray[np.int64]:
        """Timestamps of the shown pictures in presentation order."""
        return self.times[self.positions]

    @cached_property
    def entries(self) -> NDArray[np.int64]:
        """Positions of the packets at which decoding may start."""
        return np.flatnonzero(self._has(Mark.ENTRY) & (self.times != NO_TIME))

    @cached_property
    def droppable(self) -> frozenset[int]:
        """Timestamps of the pictures that no other picture refers to."""
        return frozenset(self.times[~self._has(Mark.REFERENCE)].tolist()) - {NO_TIME}

    @cached_property
    def position_of_time(self) -> dict[int, int]:
        """Place among all packets, by timestamp."""
        return {time: place for place, time in enumerate(self.times.tolist())}

    @property
    def has_shared_times(self) -> bool:
        """Pictures cannot be told apart by their times: the container counts in too long ticks."""
        return bool((np.diff(self.pts) == 0).any())

    @property
    def num_damaged(self) -> int:
        """Packets that are damaged, as their bytes or the container say."""
        return int(self._has(Mark.UNSOUND).sum())

    @property
    def num_whole(self) -> int:
        """Packets that are not marked as damaged by the container."""
        return int((~self._has(Mark.CORRUPT)).sum())

    @property
    def num_hidden(self) -> int:
        """Packets that show no picture."""
        return int((~self._has(Mark.SHOWN)).sum())

    @property
    def num_false_keys(self) -> int:
        """Pictures that the container calls key frames, but which need earlier pictures."""
        is_key = self._has(Mark.KEY) | self._has(Mark.LISTED)
        return int((is_key & ~self._has(Mark.ENTRY)).sum())

    @property
    def has_false_list(self) -> bool:
        """The container's table of key frames lists pictures that are none."""
        return bool((self._has(Mark.LISTED) & ~self._has(Mark.KEY)).any())

    @property
    def num_leading(self) -> int:
        """Pictures shown before the key frame that precedes them in the file."""
        timed = self.times[self.times != NO_TIME]
        is_entry = self._has(Mark.ENTRY)[self.times != NO_TIME]
        group = np.cumsum(is_entry) - 1  # of each packet, the entry before it
        if not is_entry.any():
            return 0
        return int((timed < timed[is_entry][np.maximum(group, 0)])[group >= 0].sum())

    @cached_property
    def doubt(self) -> str:
        """Why the table may not tell which pictures are shown; empty where it does."""
        if self.format_name not in TIMED_FORMATS:
            return f"container {self.format_name}"
        if self.codec not in TIMED_CODECS:
            return f"codec {self.codec}"
        if (self.times == NO_TIME).any() or self.has_shared_times:
            return "pictures without a time of their own"
        if self.num_damaged:
            return f"damaged packets: {self.num_damaged}"
        if not self._starts_with_entry():
            return "does not start with a key frame"
        return ""

    @property
    def is_exact(self) -> bool:
        """The table alone tells the number and order of the pictures."""
        return not self.doubt

    @property
    def gop(self) -> GopKind:
        """Closed: every group of pictures can be decoded without the one before it."""
        if not len(self.entries):
            return "unknown"
        return "open" if self.num_leading or self.num_false_keys else "closed"

    @property
    def bears_strictness(self) -> bool:
        """A decoder that starts at any entry finds no fault in a sound file.

        In open groups of H.264 it finds orders about pictures ahead of the entry.
        """
        return self.codec != "h264" or self.gop == "closed"

    def entry_for(self, picture: int) -> EntryPoint:
        """Return the last entry point from which the picture decodes as in the whole video."""
        pts = int(self.pts[picture])
        last = int(np.searchsorted(self.entries, self.positions[picture], side="right")) - 1
        while last > 0 and self.times[self.entries[last]] > pts:
            last -= 1  # shown before that key frame: it refers to pictures before it
        return self.entry(max(last, 0))

    def entry(self, number: int) -> EntryPoint:
        """Return the entry point of a number, in the order of the file."""
        position = int(self.entries[number])
        return EntryPoint(position, int(self.times[position]), int(self.entry_dts[number]))

    def with_entries_at(self, times: Collection[int]) -> Self:
        """Return the table with no other entries than those of its own at some `times`."""
        is_kept = np.isin(self.times[self.entries], list(times))
        marks = self.marks.copy()
        marks[self.entries[~is_kept]] &= np.uint8(0xFF ^ Mark.ENTRY)
        return replace(self, marks=marks, entry_dts=self.entry_dts[is_kept])

    def shown_times(self, places: slice, *, least: int) -> set[int]:
        """Timestamps, from `least` on, of the pictures that some packets of the file show."""
        times = self.times[places]
        return set(times[self._has(Mark.SHOWN)[places] & (times >= least)].tolist())

    def _has(self, mark: Mark) -> NDArray[np.bool_]:
        return (self.marks & mark) != 0

    def _starts_with_entry(self) -> bool:
        """Else there are pictures that lack a reference."""
        if not len(self.pts) or not self.marks[0] & Mark.ENTRY:
            return False
        return bool(self.times[0] != NO_TIME and self.times[0] <= self.pts[0])


def read_packet_table(packets: Iterable[Any], container: Any, stream: Any) -> PacketTable:
    """Read all `packets` of an open PyAV `stream`."""
    codec = stream.codec_context.codec.canonical_name
    read_facts = packet_reader(codec, stream.codec_context.extradata)
    times: list[int] = []
    marks: list[int] = []
    durations: list[int] = []
    entry_dts: list[int] = []
    places: list[int | None] = []
    for packet in packets:
        pts, dts, size = packet.pts, packet.dts, packet.size
        if pts is None and dts is None and not size:
            continue  # the end mark
        is_key, is_corrupt = packet.is_keyframe, packet.is_corrupt
        facts = read_facts(memoryview(packet), is_key)
        is_shown = facts.shows_picture and size > 0 and not packet.is_discard
        marks.append(
            (Mark.SHOWN.value if is_shown else 0)
            | (Mark.KEY.value if is_key else 0)
            | (Mark.ENTRY.value if facts.is_entry else 0)
            | (Mark.REFERENCE.value if facts.is_reference else 0)
            | (Mark.CORRUPT.value if is_corrupt else 0)
            | (Mark.UNSOUND.value if is_corrupt or (size > 0 and not facts.is_sound) else 0)
        )
        times.append(NO_TIME if pts is None else pts)
        durations.append(packet.duration or 0)
        places.append(packet.pos)
        if facts.is_entry and pts is not None:
            entry_dts.append(pts if dts is None else dts)
    format_name = container.format.name.split(",")[0]
    if format_name == "mov":
        listed = {entry.pos for entry in getattr(stream, "index_entries", ()) if entry.is_keyframe}
        marks = [
            mark | Mark.LISTED.value if place in listed else mark
            for mark, place in zip(marks, places, strict=True)
        ]
    table = PacketTable(
        format_name=format_name,
        codec=codec,
        times=np.array(times, dtype=np.int64),
        marks=np.array(marks, dtype=np.uint8),
        entry_dts=np.array(entry_dts, dtype=np.int64),
        last_duration=0,
    )
    last = durations[table.positions[-1]] if len(table.positions) else 0
    return replace(table, last_duration=last)
