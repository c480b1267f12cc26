"""Find out what a video file holds: one pass over its packets, of pictures only where those lie."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from av.error import FFmpegError

from stvit_video.errors import DecodeReason, VideoDecodeError
from stvit_video.video.decoding.container import Extent, read_rotation
from stvit_video.video.decoding.decoder import VideoInfo
from stvit_video.video.decoding.faults import check_file
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.known_files import KnownFiles
from stvit_video.video.decoding.packets import PacketTable, read_packet_table
from stvit_video.video.decoding.stream import (
    average_rate,
    decode_all,
    lack_of_frames,
    open_stream,
)

_known: KnownFiles[bytes] = KnownFiles()
"""Indexes that this process has made."""


def known_index(path: Path) -> VideoIndex | None:
    """Return the index that this process made of the file as it is now."""
    packed = _known.recall(path)
    return None if packed is None else VideoIndex.from_bytes(packed, path)


def open_and_index(path: Path, *, backend: str) -> tuple[Any, Any, VideoIndex]:
    """Open the video stream of a file and read all its packets.

    Returns the container, which stands at its end, the stream and the index; this process then
    knows the index.

    Raises:
        VideoDecodeError: the file is missing, empty, no video, cut short or damaged.
    """
    extent = check_file(path, backend=backend)
    container, stream = open_stream(path, backend=backend, extent=extent)
    try:
        table = _read_table(path, container, stream, extent, backend)
        index = _make_index(path, container, stream, extent, table)
    except BaseException:
        container.close()
        raise
    if not table.is_exact:
        container.close()
        index = count_pictures(index, backend=backend)
        container, stream = open_stream(path, backend=backend)
    _known.note(path, index.to_bytes())
    return container, stream, index


def count_pictures(index: VideoIndex, *, backend: str) -> VideoIndex:
    """Decode every picture once: which are shown, and do the packets say the same?

    Raises:
        VideoDecodeError: none decodes.
    """
    path, table = index.info.path, index.table
    container, stream = open_stream(path, backend=backend)
    with container:
        times = [frame.pts for frame in decode_all(container, stream)]
        if not times:
            raise _fault(path, backend, "decode", "corrupt", "none of its pictures decode")
        fps = average_rate(stream, len(times), index.info.duration_seconds)
    return replace(
        index,
        info=replace(index.info, num_frames=len(times), fps=fps),
        is_sequential=times != table.pts.tolist(),
    )


def note_index(index: VideoIndex) -> None:
    """Know a better index of a file from now on."""
    _known.note(index.info.path, index.to_bytes())


def _read_table(
    path: Path, container: Any, stream: Any, extent: Extent, backend: str
) -> PacketTable:
    try:
        table = read_packet_table(container, stream)
    except FFmpegError as error:
        raise _fault(path, backend, "index", "corrupt", "its packets cannot be read") from error
    lack = lack_of_frames(container, stream, extent, table.num_whole)
    if lack:
        raise _fault(path, backend, "open", "truncated", lack)
    if not len(table.times):
        raise _fault(path, backend, "open", "no frames")
    return table


def _make_index(
    path: Path, container: Any, stream: Any, extent: Extent, table: PacketTable
) -> VideoIndex:
    context = stream.codec_context
    rotation = read_rotation(path)
    num_frames = len(table.pts)
    duration = 0.0
    if num_frames:
        ticks = int(table.pts[-1] - table.pts[0]) + table.last_duration
        duration = float(ticks * stream.time_base)
    width, height = context.width, context.height
    if rotation % 180:
        width, height = height, width
    return VideoIndex(
        num_bytes=extent.num_bytes,
        info=VideoInfo(
            path=path,
            num_frames=num_frames,
            fps=average_rate(stream, num_frames, duration),
            duration_seconds=duration,
            width=width,
            height=height,
            codec=table.codec,
            backend="pyav",
        ),
        table=table,
        stored_size=(context.width, context.height),
        rotation=rotation,
        pix_fmt=str(context.pix_fmt or ""),
        has_declared_duration=container.duration is not None,
        is_cut=extent.is_cut,
    )


def _fault(
    path: Path, backend: str, stage: str, reason: DecodeReason, detail: str = ""
) -> VideoDecodeError:
    return VideoDecodeError(path, backend=backend, stage=stage, reason=reason, detail=detail)
