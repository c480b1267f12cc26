"""Open the video stream of a file with PyAV."""

import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

from stvit_video.errors import VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.container import Extent
from stvit_video.video.decoding.conversion import PYAV_VERSION
from stvit_video.video.decoding.faults import (
    ALIGNMENT,
    check_file,
    check_head,
    check_size,
    open_fault,
)

_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if PYAV_VERSION < 19 else {}
"""Titles that are no UTF-8 keep nobody from the pictures; PyAV 19 never minds them."""

MOST_SECONDS = 600.0
"""For one pass over the packets of a file, with what is decoded of them."""

MOST_STREAMS = 16
"""Of pictures, among which the video is looked for: each takes an open of its own."""

_NO_DECODER = {"codec_whitelist": "none"}
"""Opens a file without decoding anything of it."""


def open_stream(
    path: Path,
    *,
    backend: str,
    max_pixels: int = MOST_PIXELS,
    extent: Extent | None = None,
    is_strict: bool = False,
) -> tuple[Any, Any]:
    """Open a container and find its video stream. Decodes on one thread.

    FFmpeg is told the container, so that neither name nor content makes it take another one, to
    open nothing but this file, and to decode no picture of more than `max_pixels`.

    It is the one that FFmpeg calls best: the default one, of more pictures, of more bits. A cover
    is none, nor is a single picture beside a video. Where the `extent` of the file is known, a
    fault is told without another look. A strict decoder refuses damaged H.264 where it would
    otherwise show what its memory held before, without a sign.

    Raises:
        VideoDecodeError: the file cannot be opened, holds no pictures, or too large ones.
    """
    demuxer = check_head(path, backend=backend)
    try:
        container = open_local(path, demuxer, max_pixels=_decoder_limit(max_pixels))
    except (FFmpegError, ValueError) as error:
        extent = extent or check_file(path, backend=backend)
        raise open_fault(path, extent, backend=backend) from error
    with ExitStack() as on_fault:
        on_fault.callback(container.close)
        videos = video_streams(container)
        if not videos:
            raise VideoDecodeError(path, backend=backend, stage="open", reason="no video stream")
        if len(videos) > MOST_STREAMS:
            detail = f"{len(videos)} video streams, at most {MOST_STREAMS} are looked through"
            raise VideoDecodeError(
                path, backend=backend, stage="open", reason="too large", detail=detail
            )
        stream = videos[0] if len(videos) == 1 else _best_of(path, demuxer, container, videos)
        width, height = _declared_size(path, demuxer, stream)
        check_size(path, width, height, backend=backend, max_pixels=max_pixels)
        on_fault.pop_all()
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": _decoder_limit(max_pixels)}
    if is_strict and stream.codec_context.codec.canonical_name == "h264":
        make_strict(stream)
    return container, stream


def open_local(path: Path, demuxer: str, **options: str) -> Any:
    """Open a file as the container that it is, whatever its name looks like, and no other file."""
    options = {"protocol_whitelist": "file", **options}
    return av.open(f"file:{path.absolute()}", format=demuxer, options=options, **_LENIENT)


def _decoder_limit(max_pixels: int) -> str:
    """Of pictures with what a decoder puts around them, as an option of FFmpeg."""
    return str(min(max_pixels + ALIGNMENT, (1 << 31) - 1))


def make_strict(stream: Any) -> None:
    """Have the decoder of a stream report every fault that it notices."""
    stream.codec_context.options = {**stream.codec_context.options, "err_detect": "explode"}


def video_streams(container: Any) -> list[Any]:
    """Streams of pictures that can be decoded, without covers."""
    return [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None
    ]


def _declared_size(path: Path, demuxer: str, stream: Any) -> tuple[int, int]:
    """Width and height by the headers; FFmpeg forgets those above its limit."""
    context = stream.codec_context
    if context.width:
        return context.width, context.height
    if demuxer == "png_pipe":
        with path.open("rb") as file:
            width, height = struct.unpack(">2I", file.read(24)[16:].ljust(8, b"\0"))
        return width, height
    for option in (_NO_DECODER, {"skip_frame": "all"}):  # by the container; of raw pictures
        with open_local(path, demuxer, **option) as container:
            context = container.streams[stream.index].codec_context
            if context.width:
                return context.width, context.height
    return 0, 0


def _best_of(path: Path, demuxer: str, container: Any, videos: list[Any]) -> Any:
    best = container.streams.best("video")
    if best in videos and not _is_still(path, demuxer, best):
        return best
    moving = [stream for stream in videos if not _is_still(path, demuxer, stream)] or videos
    return max(
        moving,
        key=lambda stream: (
            bool(stream.disposition & Disposition.default),
            stream.frames,
            stream.codec_context.bit_rate or 0,
        ),
    )


def _is_still(path: Path, demuxer: str, stream: Any) -> bool:
    """Whether a stream holds one picture, as a thumbnail does."""
    if stream.frames:
        return int(stream.frames) == 1
    with open_local(path, demuxer, **_NO_DECODER) as container:
        packets = container.demux(container.streams[stream.index])
        return len(list(islice((packet for packet in packets if packet.size), 2))) == 1


def in_time(packets: Iterable[Any], container: Any) -> Iterator[Any]:
    """Pass the packets of a container on, for as long as a sound file takes at most.

    Raises:
        VideoDecodeError: what was done with them took `MOST_SECONDS`.
    """
    end = time.monotonic() + MOST_SECONDS
    for packet in packets:
        if time.monotonic() > end:
            path = Path(container.name.removeprefix("file:"))
            detail = f"more than {MOST_SECONDS:g} s; cut the video into parts, or re-encode it"
            raise VideoDecodeError(
                path, backend="pyav", stage="decode", reason="too slow", detail=detail
            )
        yield packet


def decode_all(container: Any, stream: Any) -> Iterator[Any]:
    """Every picture that decodes, in the order of the decoder; broken packets are passed."""
    for packet in in_time(container.demux(stream), container):
        if not packet.size and packet.dts is not None:
            continue
        try:
            yield from packet.decode()
        except FFmpegError:
            continue


def lack_of_frames(container: Any, stream: Any, extent: Extent, num_there: int) -> str:
    """Say what a file that was cut off lacks, of which it has `num_there` frames; else nothing.

    In a whole file the header's count proves nothing: edit lists leave frames out, and avi counts
    frames that were dropped.
    """
    if not extent.is_cut:
        return ""
    num_promised = int(stream.frames)
    if not num_promised and container.duration:
        seconds = container.duration / av.time_base
        num_promised = round(seconds * float(stream.average_rate or 0))
    if not num_promised:
        return f"header says {extent.declared_bytes} bytes, {extent.num_bytes} are there"
    if num_promised <= num_there:
        return ""
    return f"header says {num_promised} frames, {num_there} decodable"


def average_rate(stream: Any, num_frames: int, duration_seconds: float) -> float:
    """Frames per second: the header's, unless the frames that are there contradict it."""
    stated = float(stream.average_rate or 0)
    if not duration_seconds:
        return stated
    measured = num_frames / duration_seconds
    return stated if abs(stated - measured) <= 0.01 * measured else measured
