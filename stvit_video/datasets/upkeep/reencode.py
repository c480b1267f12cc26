"""Write a video again so that training reads it fast: small pictures, short closed groups of
pictures, nothing that is slow to decode. The source is only read.

Legend: H W pixels, C colours.
"""

from collections.abc import Iterator
from contextlib import suppress
from errno import EDQUOT, ENOSPC, EROFS
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType

from stvit_video.datasets.upkeep.groups import PictureGroups
from stvit_video.datasets.upkeep.new_file import new_file
from stvit_video.datasets.upkeep.scan import ScanResult, scan_video
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.settings.encode import EncodeSettings
from stvit_video.video.decoding.conversion import PYAV_VERSION, convert
from stvit_video.video.decoding.display import Display
from stvit_video.video.decoding.faults import check_head
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.decoding.stream import open_stream

NOT_WRITTEN = "not written"
NO_ROOM = "no room"
"""The disk is full: no other video can be written either."""


class ReencodeJob(NamedTuple):
    """One video to write again."""

    source: Path
    target: Path
    settings: EncodeSettings
    groups: PictureGroups


def check_pyav() -> None:
    """Refuse a PyAV that would change the colours of full-range videos without a sign.

    Raises:
        ConfigError: it is older than 17.
    """
    if PYAV_VERSION < 17:
        raise ConfigError(
            f"PyAV ({av.__version__}) must be 17 or newer to write videos; pip install 'av>=17'"
        )


def reencode_video(job: ReencodeJob) -> ScanResult:
    """Encode `source` anew, check every frame of the result, and only then give it its name.

    Returns the scan of the target; where there is none, why: what is wrong with the source, or
    `not written`, or `no room`.
    """
    partial = partial_path(job.target)
    try:
        with suppress(ValueError):  # a zero byte in its name, as in that of the source
            job.target.parent.mkdir(parents=True, exist_ok=True)
        check_head(job.source, backend="prepare")
        with new_file(partial) as file:
            num_frames = _encode(job, file)
        result = scan_video(partial)
        if result.is_ok and result.num_frames == num_frames:
            partial.replace(job.target)
            return result
        detail = f"{num_frames} frames read, {result.num_frames} in the new file, {result.verdict}"
        return ScanResult(verdict=NOT_WRITTEN, detail=detail)
    except VideoDecodeError as error:
        return ScanResult(verdict=error.reason, detail=error.detail)
    except (FFmpegError, OSError) as error:
        verdict = NO_ROOM if error.errno in (ENOSPC, EDQUOT, EROFS) else NOT_WRITTEN
        return ScanResult(verdict=verdict, detail=error.strerror or str(error))
    finally:
        with suppress(OSError, ValueError):
            partial.unlink(missing_ok=True)


def partial_path(target: Path) -> Path:
    """Where a target stands until it is whole."""
    return target.with_name(f".{target.stem}.partial.mp4")


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the shorter side at `short_side`, both even; never enlarged."""
    scale = min(1.0, short_side / min(width, height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
    return width, height


def _encode(job: ReencodeJob, target: IO[bytes]) -> int:
    """Write the frames that the source shows; return how many."""
    source = job.source
    with PyavDecoder(source, backend="prepare") as decoder:
        info, display, num_shown = decoder.info, decoder.index.display, decoder.num_frames
    width, height = scaled_size(info.width, info.height, job.settings.short_side)
    num_frames = 0
    with av.open(target, "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = None
        for frame, time in _timed_frames(source, display, info.fps):
            if stream is None:
                stream = _add_stream(container, job, info.fps, frame)
                stream.width, stream.height = width, height
            scaled = convert(frame, "yuv420p", width=width, height=height, interpolation="AREA")
            scaled.pts, scaled.time_base = time, Fraction(1, _TICKS)
            scaled.pict_type = PictureType.NONE  # else the source's key frames become ours too
            container.mux(stream.encode(scaled))
            num_frames += 1
        if num_frames != num_shown:
            raise VideoDecodeError(
                source,
                backend="prepare",
                stage="decode",
                reason="corrupt",
                detail=f"header says {num_shown} frames, {num_frames} decodable",
            )
        container.mux(stream.encode(None))
    return num_frames


_TICKS = 90_000
"""Ticks of a second in the files that are written."""


def _add_stream(container: Any, job: ReencodeJob, fps: float, frame: Any) -> Any:
    settings, groups = job.settings, job.groups
    stream = container.add_stream(
        "libx264",
        rate=Fraction(fps).limit_denominator(1001) if fps else 25,
        options={
            "preset": settings.preset,
            "tune": settings.tune,
            "crf": str(settings.crf),
            "g": str(groups.gop),
            "keyint_min": str(groups.gop),
            "sc_threshold": "0",
            "bf": str(groups.step - 1),
            "x264-params": "b-adapt=0:b-pyramid=none:open-gop=0:log=-1",
        },
    )
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.thread_count = 1
    context.time_base = Fraction(1, _TICKS)
    context.colorspace, context.color_range = frame.colorspace, frame.color_range
    context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    return stream


def _timed_frames(source: Path, display: Display, fps: float) -> Iterator[tuple[Any, int]]:
    """Frames, set upright, with their times in ticks from the first one, which always grow."""
    first, last = None, -1
    for number, frame in enumerate(_frames(source)):
        time = round(number * _TICKS / (fps or 25.0))
        if frame.pts is not None:
            seconds = frame.pts * frame.time_base
            first = seconds if first is None else first
            time = round((seconds - first) * _TICKS)
        last = max(time, last + 1)
        if not display.is_as_stored:
            stored = convert(frame, "rgb24", width=display.width, height=display.height)
            shown = display.show(stored.to_ndarray())  # (H, W, C)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgb24")
        yield frame, last


def _frames(source: Path) -> Iterator[Any]:
    container, stream = open_stream(source, backend="prepare")
    with container:
        for packet in container.demux(stream):
            if packet.size or packet.dts is None:
                try:
                    frames = packet.decode()
                except FFmpegError:
                    continue  # the count of frames will tell
                yield from frames
