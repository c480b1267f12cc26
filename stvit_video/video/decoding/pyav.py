"""Decode with PyAV: exact for every file, by a table of packet timestamps.

Legend: T H W frames and pixels, C colours.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from av.error import FFmpegError
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.errors import VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.counting import pick_frames
from stvit_video.video.decoding.decoder import (
    VideoInfo,
    arrange_frames,
    check_process,
    order_indices,
)
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.indexing import (
    count_pictures,
    known_index,
    note_index,
    open_and_index,
)
from stvit_video.video.decoding.packets import TIMED_FORMATS, EntryPoint
from stvit_video.video.decoding.planes import has_planes, planes_of
from stvit_video.video.decoding.stream import in_time, open_stream
from stvit_video.video.frame_planes import FramePlanes

Result = TypeVar("Result")


class _TableMismatchError(Exception):
    """The decoder gave other pictures than the packet table promised."""


class PyavDecoder:
    """Seek to the key frame before a frame and decode up to it.

    Where the packets alone do not tell which pictures are shown (mpeg-ts, avi, damaged packets),
    every picture is decoded once. If that gives what the packets promise, frames are found by
    seeking after all; otherwise they are counted from the start.
    """

    def __init__(
        self,
        path: Path,
        index: VideoIndex | None = None,
        *,
        backend: str = "pyav",
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        """Open with one thread. An `index` of this file spares the pass over its packets."""
        self.path = path
        self._max_pixels = max_pixels
        self._backend = backend
        self._process = os.getpid()
        self._container: Any = None
        index = index or known_index(path)
        if index is None or not self._open_by(index):
            self._container, self._stream, self.index = open_and_index(
                path, backend=backend, max_pixels=max_pixels
            )

    @property
    def num_frames(self) -> int:
        """Pictures that the container shows."""
        return self.index.info.num_frames

    @property
    def info(self) -> VideoInfo:
        """What the packets tell; nothing is decoded for it."""
        return self.index.info

    def frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode the frames at `indices`, in one pass: uint8 [T, H, W, C], RGB, upright."""
        check_process(self.path, self._process)
        return arrange_frames(
            self.path, self.num_frames, indices, self._read, backend=self._backend
        )

    def planes(self, indices: Sequence[int] | Tensor) -> FramePlanes | None:
        """Decode the frames at `indices`, and stop there; None where only RGB can be had."""
        check_process(self.path, self._process)
        if not has_planes(self.index):
            return None
        unique, inverse = order_indices(self.path, self.num_frames, indices, backend=self._backend)
        frames = self._decode_all(unique.tolist(), list)
        return planes_of([frames[i] for i in inverse], self.index.stored_size)

    def parts(
        self, indices: Sequence[int], at_once: int, *, as_planes: bool = False
    ) -> Iterator[Tensor | FramePlanes]:
        """Decode the frames at ascending, different `indices` in one pass, `at_once` at a time."""
        check_process(self.path, self._process)
        frames = self._decode_each(indices)
        as_planes = as_planes and has_planes(self.index)
        while part := list(islice(frames, at_once)):
            if as_planes:
                yield planes_of(part, self.index.stored_size)
            else:
                yield torch.from_numpy(self._to_rgb(part, count=len(part)))

    def times(self) -> NDArray[np.float64]:
        """Seconds from the first frame to each: (num_frames,)."""
        return self.index.times(self.num_frames)

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

    def _open_by(self, index: VideoIndex) -> bool:
        """Believe an index, unless the file has changed since."""
        self._open(is_strict=index.table.bears_strictness)
        self.index = index
        if self._container.size == index.num_bytes:
            return True
        self.close()
        return False

    def _open(self, *, is_strict: bool) -> tuple[Any, Any]:
        self.close()
        self._container, self._stream = open_stream(
            self.path,
            backend=self._backend,
            max_pixels=self._max_pixels,
            is_strict=is_strict,
        )
        return self._container, self._stream

    def _read(self, targets: Sequence[int]) -> NDArray[np.uint8]:
        """Decode ascending, different `targets`: uint8 (T, H, W, C)."""
        return self._decode_all(targets, partial(self._to_rgb, count=len(targets)))

    def _decode_all(
        self, targets: Sequence[int], collect: Callable[[Iterable[Any]], Result]
    ) -> Result:
        """Let `collect` take what `_decode_each` gives: all found in one way, or in the other."""
        was_sequential = self.index.is_sequential
        frames = collect(self._decode_each(targets))
        if self.index.is_sequential and not was_sequential:
            return collect(self._decode_each(targets))
        return frames

    def _decode_each(self, targets: Sequence[int]) -> Iterator[Any]:
        """Decode ascending, different `targets`: a `VideoFrame` of PyAV each.

        Where the packets turn out to have promised too much, pictures are counted from there on;
        those before came at the times of the table.
        """
        num_given = 0
        try:
            if not self.index.is_sequential:
                try:
                    for frame in self._seek_and_decode(targets):
                        yield frame
                        num_given += 1
                    return
                except _TableMismatchError:
                    self._give_up_seeking()
            for frame in self._pick(targets[num_given:]):
                yield frame
                num_given += 1
        except FFmpegError as error:
            raise self._fault("decode", "corrupt", error.strerror or "") from error
        if num_given < len(targets):
            detail = f"{num_given} of {len(targets)} frames decodable"
            raise self._fault("decode", "corrupt", detail)

    def _to_rgb(self, frames: Iterable[Any], *, count: int) -> NDArray[np.uint8]:
        pictures: NDArray[np.uint8] | None = None
        width, height = self.index.stored_size  # a later change of size is scaled back
        for number, frame in enumerate(frames):
            picture = convert(frame, "rgb24", width=width, height=height).to_ndarray()  # (H, W, C)
            picture = self.index.display.show(picture)
            if pictures is None:
                pictures = np.empty((count, *picture.shape), dtype=np.uint8)
            pictures[number] = picture
        assert pictures is not None
        return pictures

    def _give_up_seeking(self) -> None:
        """Count from the start, or refuse where the count contradicts what was said before."""
        counted = count_pictures(self.index, backend=self._backend, max_pixels=self._max_pixels)
        if counted.info.num_frames != self.num_frames:
            detail = f"header says {self.num_frames} frames, {counted.info.num_frames} decodable"
            raise self._fault("decode", "corrupt", detail)
        self.index = replace(counted, is_sequential=True)
        note_index(self.index)

    def _seek_and_decode(self, targets: Sequence[int]) -> Iterator[Any]:
        """Frames at `targets`, seeking only where a key frame lies between two of them."""
        table = self.index.table
        runs: list[tuple[EntryPoint, list[int]]] = []
        for target in targets:
            entry = table.entry_for(target)
            if not runs or int(np.searchsorted(table.pts, entry.pts)) > runs[-1][1][-1] + 1:
                runs.append((entry, []))
            runs[-1][1].append(target)
        for entry, run in runs:
            yield from self._decode_run(entry, run)

    def _decode_run(self, entry: EntryPoint, targets: Sequence[int]) -> Iterator[Any]:
        """Decode from an entry point to the last target, checking each picture's time.

        Pictures that nobody asked for and no other picture refers to are not decoded, nor what
        follows the last target in the file.
        """
        table = self.index.table
        wanted = set(table.pts[targets].tolist())
        sent = slice(entry.position, int(table.positions[targets].max()) + 1)
        skipped = table.droppable - wanted
        expected = iter(sorted(table.shown_times(sent, least=entry.pts) - skipped))
        for frame in self._decode_packets(entry, int(table.times[sent.stop - 1]), skipped):
            if frame.pts is not None and frame.pts < entry.pts:
                continue  # shown before the entry point: what it refers to was not decoded
            if frame.is_corrupt or frame.pts != next(expected, None):
                raise _TableMismatchError  # what mends a damaged one may lie before the entry
            if frame.pts in wanted:
                wanted.discard(frame.pts)
                yield frame
        if wanted:
            raise _TableMismatchError

    def _decode_packets(
        self, entry: EntryPoint, last_pts: int, skipped: frozenset[int]
    ) -> Iterator[Any]:
        """Decode the packets from an entry point to that of `last_pts`, and empty the decoder."""
        try:
            for packet in self._packets_from(entry):
                if packet.pts in skipped or (not packet.size and packet.dts is not None):
                    continue
                yield from packet.decode()
                if packet.pts == last_pts:
                    yield from self._stream.decode(None)
                    return
        except FFmpegError as error:
            raise _TableMismatchError from error

    def _packets_from(self, entry: EntryPoint) -> Iterator[Any]:
        """Packets from the entry point to the end; a seek that lands behind it is repeated.

        Containers with times of pictures are asked for those: by the time of decoding, FFmpeg goes
        to the entry before.
        """
        table = self.index.table
        times = [entry.dts, table.entry(0).dts]
        if table.format_name in TIMED_FORMATS:
            times.insert(0, entry.pts)
        for time in dict.fromkeys(times):
            try:
                self._container.seek(time, stream=self._stream, backward=True)
            except FFmpegError:
                continue
            packets = in_time(self._container.demux(self._stream), self._container)
            for packet in packets:
                if packet.pts == entry.pts and packet.is_keyframe:
                    yield packet
                    yield from packets
                    return
                if table.position_of_time.get(packet.pts, -1) > entry.position:
                    break
        raise _TableMismatchError

    def _pick(self, targets: Sequence[int]) -> Iterator[Any]:
        """Count pictures from the start, in files opened for it."""
        self.close()
        open_file = partial(
            open_stream, self.path, backend=self._backend, max_pixels=self._max_pixels
        )
        picked = pick_frames(open_file, self.index.table.codec, targets)
        for target, (frame, is_told) in zip(targets, picked, strict=False):
            if not is_told:
                raise self._fault("decode", "corrupt", f"frame {target} is damaged")
            yield frame
