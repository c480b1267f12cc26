"""The packet table of a video: which pictures the container shows, in which order, and where
decoding may start. Made from one pass over the packets; nothing is decoded.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal, NamedTuple

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


class _Packet(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int
    is_shown: bool
    is_key: bool
    is_entry: bool
    is_reference: bool
    is_corrupt: bool


class EntryPoint(NamedTuple):
    """A packet at which decoding may start."""

    position: int
    """Place among all packets, in the order of the file."""
    pts: int
    dts: int


@dataclass(frozen=True, kw_only=True)
class PacketTable:
    """What one pass over the packets of a video stream tells. Times are ticks of the stream."""

    format_name: str
    """First name of the container format, as FFmpeg calls it."""
    codec: str
    pts: NDArray[np.int64]
    """Timestamps of the shown pictures in presentation order."""
    positions: NDArray[np.int64]
    """Where the packet of each shown picture stands among all packets of the file."""
    entries: Sequence[EntryPoint]
    droppable: frozenset[int]
    """Timestamps of the pictures that no other picture refers to."""
    last_duration: int
    num_packets: int
    num_whole: int
    """Packets that are not marked as damaged by the container."""
    num_hidden: int
    """Packets that show no picture: discarded by an edit list, hidden references, empty ones."""
    num_leading: int
    """Pictures shown before the key frame that precedes them in the file."""
    num_false_keys: int
    """Pictures that the container calls key frames, but which need earlier pictures."""
    doubt: str
    """Why the table may not tell which pictures are shown; empty where it does."""

    @property
    def is_exact(self) -> bool:
        """The table alone tells the number and order of the pictures."""
        return not self.doubt

    @property
    def gop(self) -> GopKind:
        """Closed: every group of pictures can be decoded without the one before it."""
        if not self.entries:
            return "unknown"
        return "open" if self.num_leading or self.num_false_keys else "closed"

    @cached_property
    def position_of_pts(self) -> dict[int, int]:
        """Place among all packets, by timestamp."""
        return dict(zip(self.pts.tolist(), self.positions.tolist(), strict=True))

    def entry_for(self, picture: int) -> EntryPoint:
        """Return the last entry point from which the picture decodes as in the whole video."""
        position, pts = int(self.positions[picture]), int(self.pts[picture])
        last = bisect_right(self.entries, position, key=attrgetter("position")) - 1
        while last > 0 and self.entries[last].pts > pts:
            last -= 1  # shown before that key frame: it refers to pictures before it
        return self.entries[max(last, 0)]


def read_packet_table(container: Any, stream: Any) -> PacketTable:
    """Read every packet of an open PyAV `stream` and leave the container at its end."""
    codec = stream.codec_context.codec.canonical_name
    read_facts = packet_reader(codec, stream.codec_context.extradata)
    packets: list[_Packet] = []
    num_unsound = 0
    for packet in container.demux(stream):
        if packet.pts is None and packet.dts is None and not packet.size:
            continue  # the end mark
        facts = read_facts(memoryview(packet), packet.is_keyframe)
        is_shown = facts.shows_picture and not packet.is_discard and packet.size > 0
        num_unsound += packet.is_corrupt or (packet.size > 0 and not facts.is_sound)
        packets.append(
            _Packet(
                pts=packet.pts,
                dts=packet.dts,
                duration=packet.duration or 0,
                is_shown=is_shown,
                is_key=packet.is_keyframe,
                is_entry=facts.is_entry,
                is_reference=facts.is_reference,
                is_corrupt=packet.is_corrupt,
            )
        )
    return _make_table(packets, container.format.name.split(",")[0], codec, num_unsound)


def _make_table(
    packets: list[_Packet], format_name: str, codec: str, num_unsound: int
) -> PacketTable:
    shown = [(p.pts, i) for i, p in enumerate(packets) if p.is_shown and p.pts is not None]
    shown.sort()
    entries = [
        EntryPoint(i, p.pts, p.dts if p.dts is not None else p.pts)
        for i, p in enumerate(packets)
        if p.is_entry and p.pts is not None
    ]
    num_untimed = sum(p.pts is None for p in packets)
    pts = np.array([time for time, _ in shown], dtype=np.int64)
    doubt = ""
    if format_name not in TIMED_FORMATS:
        doubt = f"container {format_name}"
    elif codec not in TIMED_CODECS:
        doubt = f"codec {codec}"
    elif num_untimed or len(np.unique(pts)) < len(pts):
        doubt = "pictures without a time of their own"
    elif num_unsound:
        doubt = f"damaged packets: {num_unsound}"
    elif not _starts_with_entry(packets, pts):
        doubt = "does not start with a key frame"
    return PacketTable(
        format_name=format_name,
        codec=codec,
        pts=pts,
        positions=np.array([place for _, place in shown], dtype=np.int64),
        entries=entries,
        droppable=frozenset(p.pts for p in packets if p.pts is not None and not p.is_reference),
        last_duration=packets[shown[-1][1]].duration if shown else 0,
        num_packets=len(packets),
        num_whole=sum(not p.is_corrupt for p in packets),
        num_hidden=sum(not p.is_shown for p in packets),
        num_false_keys=sum(p.is_key and not p.is_entry for p in packets),
        num_leading=_count_leading(packets),
        doubt=doubt,
    )


def _starts_with_entry(packets: Sequence[_Packet], pts: NDArray[np.int64]) -> bool:
    if not packets or not len(pts) or not packets[0].is_entry:
        return False
    first = packets[0].pts
    return first is not None and first <= int(pts[0])  # else pictures that lack a reference


def _count_leading(packets: Sequence[_Packet]) -> int:
    num_leading = 0
    entry_pts: int | None = None
    for packet in packets:
        if packet.pts is None:
            continue
        if packet.is_entry:
            entry_pts = packet.pts
        elif entry_pts is not None and packet.pts < entry_pts:
            num_leading += 1
    return num_leading
