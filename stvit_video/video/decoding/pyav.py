"""Decode with PyAV: exact for every file, by a table of packet timestamps.

Legend: T H W frames and pixels, C colours.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.errors import VideoDecodeError
from stvit_video.video.decoding.container import read_rotation
from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.decoder import VideoInfo, arrange_frames, check_process
from stvit_video.video.decoding.faults import check_file
from stvit_video.video.decoding.known_files import KnownFiles
from stvit_video.video.decoding.packets import EntryPoint, PacketTable, read_packet_table
from stvit_video.video.decoding.stream import average_rate, lack_of_frames, open_stream


class _TableMismatchError(Exception):
    """The decoder gave other pictures than the packet table promised."""


class _Decoded(NamedTuple):
    """What decoding a whole file gave."""

    num_frames: int
    is_as_promised: bool
    """The pictures that the packet table lists, at their times."""


_decoded_files: KnownFiles[_Decoded] = KnownFiles()


class PyavDecoder:
    """Seek to the key frame before a frame and decode up to it.

    Where the packets alone do not tell which pictures are shown (mpeg-ts, avi, damaged packets),
    every picture is decoded once in a process. If that gives what the packets promise, frames are
    found by seeking after all; otherwise they are counted from the start.
    """

    def __init__(self, path: Path, *, backend: str = "pyav") -> None:
        self.path = path
        self._backend = backend
        self._process = os.getpid()
        self.extent = check_file(path, backend=backend)
        self._container: Any = None
        self._open()
        self.stored_size: tuple[int, int] = (
            self._stream.codec_context.width,
            self._stream.codec_context.height,
        )
        try:
            self.table = self._read_table()
            self._is_sequential = False
            if not self.table.is_exact:
                self._distrust_table()
        except BaseException:
            self.close()
            raise

    @property
    def num_frames(self) -> int:
        """Pictures that the container shows."""
        return self._num_decodable if self._is_sequential else len(self.table.pts)

    @cached_property
    def info(self) -> VideoInfo:
        """What the packets tell; nothing is decoded for it."""
        width, height = self.stored_size
        if self.rotation % 180:
            width, height = height, width
        duration = self._duration_seconds()
        return VideoInfo(
            path=self.path,
            num_frames=self.num_frames,
            fps=average_rate(self._stream, self.num_frames, duration),
            duration_seconds=duration,
            width=width,
            height=height,
            codec=self.table.codec,
            backend="pyav",
        )

    @cached_property
    def rotation(self) -> int:
        """Degrees, counterclockwise, that set the stored pictures upright."""
        return read_rotation(self.path)

    @property
    def pix_fmt(self) -> str:
        """Layout of the stored pixels, as FFmpeg calls it; empty where the header is silent."""
        return str(self._stream.codec_context.pix_fmt or "")

    @property
    def has_declared_duration(self) -> bool:
        """The header says how long the video is; one written live does not."""
        return self._container.duration is not None

    def frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode the frames at `indices`, in one pass: uint8 [T, H, W, C], RGB, upright."""
        check_process(self.path, self._process)
        return arrange_frames(
            self.path, self.num_frames, indices, self._read, backend=self._backend
        )

    def close(self) -> None:
        """Let go of the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> "PyavDecoder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _fault(self, stage: str, reason: Any, detail: str = "") -> VideoDecodeError:
        return VideoDecodeError(
            self.path, backend=self._backend, stage=stage, reason=reason, detail=detail
        )

    def _open(self) -> None:
        self.close()
        self._container, self._stream = open_stream(self.path, self.extent, backend=self._backend)

    def _read_table(self) -> PacketTable:
        try:
            table = read_packet_table(self._container, self._stream)
        except FFmpegError as error:
            raise self._fault("index", "corrupt", "its packets cannot be read") from error
        lack = lack_of_frames(self._container, self._stream, self.extent, table.num_whole)
        if lack:
            raise self._fault("open", "truncated", lack)
        if not table.num_packets:
            raise self._fault("open", "no frames")
        return table

    def _duration_seconds(self) -> float:
        if not len(self.table.pts):
            return 0.0
        ticks = int(self.table.pts[-1] - self.table.pts[0]) + self.table.last_duration
        return float(ticks * self._stream.time_base)

    def _read(self, targets: Sequence[int]) -> NDArray[np.uint8]:
        """Decode ascending, different `targets`: uint8 (T, H, W, C)."""
        try:
            if not self._is_sequential:
                try:
                    return self._collect(self._seek_and_decode(targets), len(targets))
                except _TableMismatchError:
                    self._give_up_seeking()
            return self._collect(self._pick(targets), len(targets))
        except FFmpegError as error:
            raise self._fault("decode", "corrupt", error.strerror or "") from error

    def _distrust_table(self) -> None:
        """Let decoding say what is shown, and whether the packets say the same."""
        found = _decoded_files.recall(self.path)
        if found is None:
            self._open()
            times = [frame.pts for frame in self._decode_all()]
            found = _Decoded(len(times), times == self.table.pts.tolist())
            _decoded_files.note(self.path, found)
        if not found.num_frames:
            raise self._fault("decode", "corrupt", "none of its pictures decode")
        self._num_decodable = found.num_frames
        self._is_sequential = not found.is_as_promised

    def _give_up_seeking(self) -> None:
        """Count from the start, or refuse where the count contradicts what was said before."""
        num_promised = self.num_frames
        self._distrust_table()
        if self._num_decodable != num_promised:
            detail = f"header says {num_promised} frames, {self._num_decodable} decodable"
            raise self._fault("decode", "corrupt", detail)
        self._is_sequential = True

    def _collect(self, frames: Iterator[Any], count: int) -> NDArray[np.uint8]:
        pictures: NDArray[np.uint8] | None = None
        width, height = self.stored_size  # a later change of size is scaled back
        number = 0
        for number, frame in enumerate(frames, 1):
            picture = convert(frame, "rgb24", width=width, height=height).to_ndarray()  # (H, W, C)
            if frame.rotation:
                picture = np.rot90(picture, k=frame.rotation // 90)
            if pictures is None:
                pictures = np.empty((count, *picture.shape), dtype=np.uint8)
            pictures[number - 1] = picture
        if pictures is None or number < count:
            raise self._fault("decode", "corrupt", f"{number} of {count} frames decodable")
        return pictures

    def _seek_and_decode(self, targets: Sequence[int]) -> Iterator[Any]:
        """Frames at `targets`, seeking only where a key frame lies between two of them.

        Pictures that nobody asked for and no other picture refers to are not decoded.
        """
        skipped = self.table.droppable - set(self.table.pts[list(targets)].tolist())
        pictures: Iterator[tuple[int, Any]] = iter(())
        reached = -2
        for target in targets:
            entry = self.table.entry_for(target)
            first = int(np.searchsorted(self.table.pts, entry.pts))
            if first > reached + 1 or reached < 0:
                pictures = self._decode_from(entry, first, skipped)
            for reached, frame in pictures:
                if reached == target:
                    yield frame
                    break
            else:
                raise _TableMismatchError

    def _decode_from(
        self, entry: EntryPoint, first: int, skipped: frozenset[int]
    ) -> Iterator[tuple[int, Any]]:
        """Decode from an entry point on, checking each picture's time against the table."""
        times = self.table.pts
        expected = first
        for packet in self._packets_from(entry):
            if packet.pts in skipped or (not packet.size and packet.dts is not None):
                continue
            for frame in self._decode(packet):
                if frame.pts is not None and frame.pts < entry.pts:
                    continue  # shown before the entry point: what it refers to was not decoded
                while expected < len(times) and int(times[expected]) in skipped:
                    expected += 1
                if expected >= len(times) or frame.pts != times[expected]:
                    raise _TableMismatchError
                yield expected, frame
                expected += 1

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return packet.decode()
        except FFmpegError as error:
            raise _TableMismatchError from error

    def _packets_from(self, entry: EntryPoint) -> Iterator[Any]:
        """Packets from the entry point to the end; a seek that lands behind it is repeated."""
        for start in dict.fromkeys((entry, self.table.entries[0])):
            try:
                self._container.seek(start.dts, stream=self._stream, backward=True)
            except FFmpegError:
                continue
            packets = self._container.demux(self._stream)
            for packet in packets:
                if packet.pts == entry.pts and packet.is_keyframe:
                    yield packet
                    yield from packets
                    return
                if self.table.position_of_pts.get(packet.pts, -1) > entry.position:
                    break
        raise _TableMismatchError

    def _pick(self, targets: Sequence[int]) -> Iterator[Any]:
        wanted = set(targets)
        self._open()
        for number, frame in enumerate(self._decode_all()):
            if number in wanted:
                yield frame
            if number == targets[-1]:
                return

    def _decode_all(self) -> Iterator[Any]:
        """Every picture that decodes, in the order of the decoder; broken packets are passed."""
        for packet in self._container.demux(self._stream):
            if not packet.size and packet.dts is not None:
                continue
            try:
                yield from packet.decode()
            except FFmpegError:
                continue
