"""Decode a whole video once and say what it is, whether it is whole, and what reads it exactly."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from av.error import FFmpegError

from stvit_video.errors import VideoDecodeError
from stvit_video.settings.data import ScanBackend
from stvit_video.video.decoding.decoder import has_backend
from stvit_video.video.decoding.exactness import doubt_of_decord
from stvit_video.video.decoding.open import open_video
from stvit_video.video.decoding.packets import PacketTable
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.decoding.stream import make_strict, open_stream

OK = "ok"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanResult:
    """What a scan found out about one file."""

    verdict: str
    """`ok`, or why the video should not be used: a reason of `VideoDecodeError`."""
    detail: str = ""
    """What is wrong in more words; for a video that is ok, why decord is not its decoder."""
    num_frames: int = -1
    """Frames that decode; -1 where the file does not open."""
    fps: float = 0.0
    duration_seconds: float = 0.0
    width: int = -1
    """Of the upright picture, in pixels."""
    height: int = -1
    """Of the upright picture, in pixels."""
    codec: str = ""
    gop: str = ""
    """`closed`, `open` or `unknown`."""
    backend: str = ""
    """`decord` where it is exact for this file, else `pyav`, which always is."""
    index: str = ""
    """The packed `VideoIndex` in base 64; empty where the video is not ok."""

    @property
    def is_ok(self) -> bool:
        """Every picture that the container shows decodes without a fault."""
        return self.verdict == OK


def packed_indexes(results: Mapping[Path, ScanResult]) -> list[tuple[Path, bytes]]:
    """Return path and packed index of each video that is ok."""
    return [(path, b64decode(result.index)) for path, result in results.items() if result.index]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """One decoding of a whole video."""

    times: list[int | None]
    num_faults: int
    """Packets that the decoder refused, and pictures that it marked as damaged."""


def scan_video(path: Path, *, backend: ScanBackend = "auto") -> ScanResult:
    """Decode every picture of `path`, with the decoder told to report every fault it notices.

    `auto` then opens it with decord, if nothing speaks against that; `pyav` keeps it from decord.
    """
    try:
        with PyavDecoder(path, backend="scan") as decoder:
            info, index, table = decoder.info, decoder.index, decoder.index.table
            doubt = doubt_of_decord(decoder.index)
        strict = _decode_all(path, is_strict=True)
        lenient = _decode_all(path, is_strict=False) if strict.num_faults else strict
    except VideoDecodeError as error:
        return ScanResult(verdict=error.reason, detail=error.detail)
    verdict, detail = _judge(table, strict, lenient)
    reader = "pyav"
    if verdict == OK:
        if not doubt and backend == "pyav":
            doubt = "decord was not tried"
        doubt = doubt or _doubt_of_open_decord(path, len(strict.times))
        reader, detail = ("pyav", doubt) if doubt else ("decord", "")
    return ScanResult(
        verdict=verdict,
        detail=detail,
        num_frames=len(lenient.times),
        fps=info.fps,
        duration_seconds=info.duration_seconds,
        width=info.width,
        height=info.height,
        codec=info.codec,
        gop=table.gop,
        backend=reader,
        index=b64encode(index.to_bytes()).decode() if verdict == OK else "",
    )


def _judge(table: PacketTable, strict: _Pass, lenient: _Pass) -> tuple[str, str]:
    num_shown, num_decoded = len(table.pts), len(lenient.times)
    if not num_decoded:
        return "no frames", "none of its pictures decode"
    if strict.num_faults:
        return "corrupt", f"faults: {strict.num_faults}, decodable frames: {num_decoded}"
    if table.is_exact and table.pts.tolist() != strict.times:
        return "corrupt", f"header says {num_shown} frames, {num_decoded} decodable"
    return OK, ""


def _decode_all(path: Path, *, is_strict: bool) -> _Pass:
    container, stream = open_stream(path, backend="scan")
    if is_strict:
        make_strict(stream)
    times: list[int | None] = []
    num_faults = 0
    with container:
        try:
            for packet in container.demux(stream):
                if not packet.size and packet.dts is not None:
                    continue
                try:
                    frames = packet.decode()
                except FFmpegError:
                    num_faults += 1
                    continue
                times += [frame.pts for frame in frames]
                num_faults += sum(bool(frame.is_corrupt) for frame in frames)
        except FFmpegError:
            num_faults += 1
    return _Pass(times=times, num_faults=num_faults)


def _doubt_of_open_decord(path: Path, num_frames: int) -> str:
    """Open the file with decord and compare what it counts with what was decoded."""
    if not has_backend("decord"):
        return "decord is not installed"
    try:
        with open_video(path, backend="decord") as decoder:
            if decoder.num_frames == num_frames:
                return ""
            return f"decord counts {decoder.num_frames} frames"
    except VideoDecodeError:
        return "decord cannot open it"
