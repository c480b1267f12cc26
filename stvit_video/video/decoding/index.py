"""What is known of a video file before it is opened, so that opening it costs one open.

An index is made when a file is opened without one, and can be kept beside a data set: about 500
bytes for ten seconds of video.
"""

import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stvit_video.video.decoding.decoder import VideoInfo
from stvit_video.video.decoding.display import Crop, Display
from stvit_video.video.decoding.packets import PacketTable

_VERSION = 2
_MOST_BYTES = 1 << 25
"""Of an unpacked index: 17 for each picture and its entry, of as many as a video may have."""


@dataclass(frozen=True, kw_only=True)
class VideoIndex:
    """The packets of a video, and what else its file says. Holds for a file of `num_bytes`."""

    num_bytes: int
    """Size of the file: one of another size is another file."""
    info: VideoInfo
    """What the video is; its path is that of the file that was indexed."""
    table: PacketTable
    stream: int
    """Place of the video among all streams of the file."""
    num_videos: int
    """Streams of moving pictures in the file, of which this is one."""
    display: Display
    """Size of the stored pictures, and what sets them upright: as of the first one."""
    pix_fmt: str
    """Layout of the stored pixels, as FFmpeg calls it."""
    has_declared_duration: bool
    """The header says how long the video is; one written live does not, a damaged one lies."""
    is_cut: bool
    """The file ends before its headers say, though after its last frame."""
    is_sequential: bool = False
    """Pictures are counted from the start: the packets do not tell which are shown."""

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the pictures as they are stored, in pixels."""
        return self.display.width, self.display.height

    def times(self, num_frames: int) -> NDArray[np.float64]:
        """Seconds from the first frame to each of `num_frames`: (num_frames,).

        Where the packets do not tell, frames are equally far apart.
        """
        pts, seconds = self.table.pts, self.info.duration_seconds
        if self.is_sequential or len(pts) != num_frames or not seconds:
            return np.arange(num_frames) / (self.info.fps or 1.0)
        ticks = (pts - pts[0]).astype(np.float64)
        return ticks * (seconds / (ticks[-1] + self.table.last_duration))

    def at(self, path: Path) -> Self:
        """Return the index as that of a file at `path`."""
        return replace(self, info=replace(self.info, path=path))

    def to_bytes(self) -> bytes:
        """Pack the index; `from_bytes` unpacks it."""
        facts = {
            "version": _VERSION,
            "num_bytes": self.num_bytes,
            "stream": self.stream,
            "num_videos": self.num_videos,
            "display": self.display,
            "pix_fmt": self.pix_fmt,
            "has_declared_duration": self.has_declared_duration,
            "is_cut": self.is_cut,
            "is_sequential": self.is_sequential,
            "info": [getattr(self.info, name) for name in _INFO_FIELDS],
            "table": [self.table.format_name, self.table.codec, self.table.last_duration],
            "counts": [len(self.table.times), len(self.table.entry_dts)],
        }
        arrays = (
            _steps(self.table.times),
            self.table.marks,
            _steps(self.table.entry_dts),
        )
        head = json.dumps(facts, separators=(",", ":")).encode() + b"\n"
        return zlib.compress(head + b"".join(array.tobytes() for array in arrays), 6)

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> Self | None:
        """Unpack the index of the file at `path`; None where `data` is none of this version."""
        try:
            unpacker = zlib.decompressobj()
            raw = unpacker.decompress(data, _MOST_BYTES)
            return cls._unpacked(raw, path) if unpacker.eof else None
        except (zlib.error, ValueError, TypeError, KeyError, RecursionError):
            return None

    @classmethod
    def _unpacked(cls, raw: bytes, path: Path) -> Self | None:
        end = raw.index(b"\n") + 1
        facts: dict[str, Any] = json.loads(raw[:end])
        if facts["version"] != _VERSION:
            return None
        num_packets, num_entries = facts["counts"]
        format_name, codec, last_duration = facts["table"]
        marks_at = end + 8 * num_packets
        table = PacketTable(
            format_name=format_name,
            codec=codec,
            times=np.cumsum(np.frombuffer(raw, np.int64, num_packets, end)),
            marks=np.frombuffer(raw, np.uint8, num_packets, marks_at),
            entry_dts=np.cumsum(np.frombuffer(raw, np.int64, num_entries, marks_at + num_packets)),
            last_duration=last_duration,
        )
        width, height, crop, is_mirrored, quarter_turns = facts["display"]
        return cls(
            num_bytes=facts["num_bytes"],
            info=VideoInfo(path=path, **dict(zip(_INFO_FIELDS, facts["info"], strict=True))),
            table=table,
            stream=facts["stream"],
            num_videos=facts["num_videos"],
            display=Display(width, height, Crop(*crop), is_mirrored, quarter_turns),
            pix_fmt=facts["pix_fmt"],
            has_declared_duration=facts["has_declared_duration"],
            is_cut=facts["is_cut"],
            is_sequential=facts["is_sequential"],
        )


_INFO_FIELDS = (
    "num_frames",
    "fps",
    "duration_seconds",
    "width",
    "height",
    "codec",
    "backend",
)


def _steps(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """First value and differences: small and repeated numbers, which pack well; they may wrap."""
    return np.diff(values, prepend=np.int64(0))
