"""Find out what a video file holds: one pass over its packets, of pictures only where those lie."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from stvit_video.errors import DecodeReason, VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.container import Extent, read_crop
from stvit_video.video.decoding.decoder import VideoInfo
from stvit_video.video.decoding.display import display_of
from stvit_video.video.decoding.faults import check_coded_size, check_file, header_faults
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.known_files import KnownFiles
from stvit_video.video.decoding.packets import TIMED_FORMATS, PacketTable, read_packet_table
from stvit_video.video.decoding.stream import (
    average_rate,
    decode_all,
    in_time,
    lack_of_frames,
    open_stream,
    video_streams,
)

MOST_PICTURES = 1 << 20
"""In a video: 4.8 hours at 60 a second. Their packets are read in about 7 seconds."""
_MOST_LOST = 0.1
"""Share of its pictures that a damaged video may lack; a whole one may lack half of them."""

_known: KnownFiles[bytes] = KnownFiles()
"""Indexes that this process has made."""


def known_index(path: Path) -> VideoIndex | None:
    """Return the index that this process made of the file as it is now."""
    packed = _known.recall(path)
    return None if packed is None else VideoIndex.from_bytes(packed, path)


def index_video(
    path: Path, index: VideoIndex | None = None, *, backend: str, max_pixels: int = MOST_PIXELS
) -> VideoIndex:
    """Return what is known of a file, by an `index` of it or in this process, or found out now.

    It is opened with PyAV in any case, whose limits so hold for every backend.

    Raises:
        VideoDecodeError: the file is missing, empty, no video, cut short, damaged or too large.
    """
    index = index or known_index(path)
    if index is not None:
        with open_stream(path, backend=backend, max_pixels=max_pixels)[0] as container:
            if container.size == index.num_bytes:
                return index
    container, _, index = open_and_index(path, backend=backend, max_pixels=max_pixels)
    container.close()
    return index


def open_and_index(
    path: Path, *, backend: str, max_pixels: int = MOST_PIXELS
) -> tuple[Any, Any, VideoIndex]:
    """Open the video stream of a file and read all its packets.

    Returns the container, which stands at its end, the stream and the index; this process then
    knows the index.

    Raises:
        VideoDecodeError: the file is missing, empty, no video, cut short, damaged or too large.
    """
    extent = check_file(path, backend=backend)
    container, stream = open_stream(
        path, backend=backend, max_pixels=max_pixels, extent=extent, is_strict=True
    )
    with ExitStack() as on_fault, header_faults(path, backend=backend):
        on_fault.callback(container.close)
        table, first = _read_table(path, container, stream, extent, backend, max_pixels)
        index = _make_index(path, container, stream, extent, table, first)
        on_fault.pop_all()
    if not table.is_exact or not table.bears_strictness:
        container.close()
        if not table.is_exact:
            index = count_pictures(index, backend=backend, max_pixels=max_pixels)
        container, stream = open_stream(
            path,
            backend=backend,
            max_pixels=max_pixels,
            is_strict=index.table.bears_strictness,
        )
    _known.note(path, index.to_bytes())
    return container, stream, index


def count_pictures(index: VideoIndex, *, backend: str, max_pixels: int = MOST_PIXELS) -> VideoIndex:
    """Decode every picture once: which are shown, and do the packets say the same?

    Raises:
        VideoDecodeError: none decodes.
    """
    path, table = index.info.path, index.table
    container, stream = open_stream(path, backend=backend, max_pixels=max_pixels)
    with container:
        found = [(frame.pts, frame.key_frame) for frame in decode_all(container, stream)]
        fps = average_rate(stream, len(found), index.info.duration_seconds)
    most_lost = (_MOST_LOST if table.num_damaged else 0.5) * len(table.pts)
    if table.format_name in TIMED_FORMATS and len(table.pts) - len(found) > most_lost:
        detail = f"header says {len(table.pts)} frames, {len(found)} decodable"
        raise _fault(path, backend, "decode", "corrupt", detail)
    table = table.with_entries_at(
        [time for time, is_intra in found if is_intra and time is not None]
    )
    return replace(
        index,
        info=replace(index.info, num_frames=len(found), fps=fps),
        table=table,
        is_sequential=[time for time, _ in found] != table.pts.tolist()
        or table.has_shared_times
        or table.num_damaged > 0  # what conceals the damage may lie before an entry
        or not len(table.entries),
    )


def note_index(index: VideoIndex) -> None:
    """Know a better index of a file from now on."""
    _known.note(index.info.path, index.to_bytes())


def _read_table(
    path: Path, container: Any, stream: Any, extent: Extent, backend: str, max_pixels: int
) -> tuple[PacketTable, Any]:
    """Read the packets and the first picture that decodes."""
    first: list[Any] = []
    try:
        packets = islice(in_time(container.demux(stream), container), MOST_PICTURES + 1)
        table = read_packet_table(_until_a_picture(packets, first), container, stream)
    except FFmpegError as error:
        raise _fault(path, backend, "index", "corrupt", "its packets cannot be read") from error
    if len(table.times) > MOST_PICTURES:
        detail = f"more than {MOST_PICTURES} pictures; cut the video into parts"
        raise _fault(path, backend, "index", "too large", detail)
    lack = lack_of_frames(container, stream, extent, table.num_whole)
    if lack:
        raise _fault(path, backend, "open", "truncated", lack)
    if not len(table.times):
        raise _fault(path, backend, "open", "no frames")
    if not first:
        with open_stream(path, backend=backend, max_pixels=max_pixels)[0] as lenient:
            first += islice(decode_all(lenient, lenient.streams[stream.index]), 1)
    if not first:
        raise _fault(path, backend, "decode", "corrupt", "none of its pictures decode")
    check_coded_size(path, stream.codec_context, backend=backend, max_pixels=max_pixels)
    return table, first[0]


def _until_a_picture(packets: Iterable[Any], found: list[Any]) -> Iterator[Any]:
    """Pass packets on, and decode them as long as nothing was `found`."""
    for packet in packets:
        if not found and (packet.size or packet.dts is None):
            with suppress(FFmpegError):
                found += packet.decode()
        yield packet


def _make_index(
    path: Path, container: Any, stream: Any, extent: Extent, table: PacketTable, first: Any
) -> VideoIndex:
    crop = read_crop(path, stream_index=stream.index, track_id=stream.id)
    display = display_of(first, crop)
    num_frames = len(table.pts)
    duration = 0.0
    if num_frames:
        ticks = int(table.pts[-1] - table.pts[0]) + table.last_duration
        duration = float(ticks * stream.time_base)
    width, height = display.shown_size
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
        stream=stream.index,
        num_videos=len(video_streams(container)),
        display=display,
        pix_fmt=first.format.name,
        has_declared_duration=_declares_duration(container, stream, table),
        is_cut=extent.is_cut,
    )


def _declares_duration(container: Any, stream: Any, table: PacketTable) -> bool:
    """Whether the header gives a length, and not one that the pictures make absurd."""
    if container.duration is None or not len(table.pts):
        return False
    end = max(int(table.pts[-1]), int(table.pts[-1] - table.pts[0])) + table.last_duration
    return bool(container.duration / av.time_base < 2 * float(end * stream.time_base) + 60)


def _fault(
    path: Path, backend: str, stage: str, reason: DecodeReason, detail: str = ""
) -> VideoDecodeError:
    return VideoDecodeError(path, backend=backend, stage=stage, reason=reason, detail=detail)
