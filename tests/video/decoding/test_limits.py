"""What a header promises is believed up to a limit, and no file takes long to be refused."""

import os
import socket
import struct
import time
from contextlib import suppress
from importlib import import_module

import av
import numpy as np
import pytest

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding import indexing, stream
from stvit_video.video.decoding.boxes import MOST_PARTS
from stvit_video.video.decoding.mp4_tables import MOST_EDITS, MOST_SAMPLES
from stvit_video.video.decoding.open import open_video, probe_video, read_clips, read_frames
from stvit_video.video.decoding.raw_streams import MOST_UNITS
from stvit_video.video.numbered import read_number

BACKENDS = ["auto", "pyav", "decord", "torchcodec"]
FTYP = struct.pack(">I4s8s", 16, b"ftyp", b"isomisom")
SECONDS = 3
"""Of the CPU, that a refusal may take here; what is refused took up to a minute."""


def _refusal(path, backend, **how):
    if backend == "torchcodec":
        with suppress(ImportError, OSError, RuntimeError):  # it takes seconds
            import_module("torchcodec.decoders")
    start = time.process_time()
    try:
        with pytest.raises(VideoDecodeError) as caught:
            open_video(path, backend=backend, **how)
    except ConfigError as error:
        pytest.skip(str(error))
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < SECONDS
    return f"{caught.value.reason}: {caught.value.detail}"


SIZED = {
    "a.mp4": ("libx264", "yuv420p"),
    "a.avi": ("mjpeg", "yuvj420p"),
    "a.mjpeg": ("mjpeg", "yuvj420p"),
    "a.mov": ("png", "rgb24"),
    "a.webm": ("libvpx-vp9", "yuv420p"),
    "a.ts": ("mpeg2video", "yuv420p"),
    "a.gif": ("gif", "gray"),
    "a.png": ("png", "rgb24"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SIZED)
def test_pictures_above_the_limit_are_too_large(tmp_path, write_numbered, name, backend):
    codec, pix_fmt = SIZED[name]
    how = {"codec": codec, "pix_fmt": pix_fmt, "options": {}}
    path = write_numbered(tmp_path / name, 1, width=96, height=64, **how)
    assert _refusal(path, backend, max_pixels=96 * 64 - 1) == (
        "too large: pictures of 96x64, more than max_pixels (6143) allows;"
        " scale the video down, or raise data.max_pixels"
    )
    assert read_frames(path, [0], max_pixels=96 * 64).shape == (1, 64, 96, 3)


PEAKS = """
import sys
from pathlib import Path
from stvit_video.errors import VideoDecodeError
from stvit_video.video.decoding.open import open_video

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10

small, *large = sys.argv[1:]
for backend in ("auto", "decord"):
    open_video(small, backend=backend).close()
    for path in large:
        before = peak()
        try:
            open_video(path, backend=backend)
        except VideoDecodeError as error:
            print(peak() - before, error)
"""


def test_large_pictures_are_refused_without_being_decoded(
    tmp_path, numbered_video, write_numbered, run_code
):
    """Peak of memory in MiB; a picture takes 57 in planes, 114 as RGB."""
    paths = []
    for name in ("a.avi", "a.png", "a.mov"):
        codec, pix_fmt = SIZED[name]
        how = {"codec": codec, "pix_fmt": pix_fmt, "options": {}}
        paths.append(write_numbered(tmp_path / name, 1, width=8000, height=5000, **how))
    lines = run_code(PEAKS, numbered_video, *paths).splitlines()
    assert len(lines) == 6
    for line in lines:
        assert int(line.split()[0]) < 30, line
        assert f"too large: pictures of 8000x5000, more than max_pixels ({MOST_PIXELS})" in line


def test_what_the_sequence_cuts_away_counts_as_well(tmp_path, write_numbered, monkeypatch):
    monkeypatch.setattr("stvit_video.video.decoding.faults.ALIGNMENT", 0)
    path = write_numbered(tmp_path / "a.mp4", 3, width=98, height=66)  # coded as 112x80
    assert "pictures of 112x80, more" in _refusal(path, "pyav", max_pixels=98 * 66)


def test_every_door_takes_the_limit(numbered_video):
    for read in (
        lambda: probe_video(numbered_video, max_pixels=9),
        lambda: read_frames(numbered_video, [0], max_pixels=9),
        lambda: read_clips(numbered_video, [[0]], max_pixels=9),
    ):
        with pytest.raises(VideoDecodeError, match=r"more than max_pixels \(9\) allows"):
            read()


def test_a_file_of_many_videos_is_too_large(tmp_path):
    """400 KB of Matroska promised 1000 tracks, and took minutes."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        for _ in range(stream.MOST_STREAMS + 1):
            added = container.add_stream("ffv1", rate=25)
            added.width, added.height, added.pix_fmt = 32, 16, "gray"
        picture = np.zeros((16, 32), np.uint8)
        for added in container.streams:
            container.mux(added.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
            container.mux(added.encode(None))
    assert _refusal(path, "pyav") == "too large: 17 video streams, at most 16 are looked through"


def test_a_video_of_too_many_pictures_is_too_large(numbered_video, tmp_path, monkeypatch):
    monkeypatch.setattr(indexing, "MOST_PICTURES", 59)
    path = tmp_path / "a.mp4"
    path.write_bytes(numbered_video.read_bytes())
    expected = "too large: more than 59 pictures; cut the video into parts"
    assert _refusal(path, "pyav") == expected


def _table(kind, *numbers):
    return struct.pack(f">I4s{len(numbers)}I", 8 + 4 * len(numbers), kind, *numbers)


def _in(box, *kinds):
    for kind in reversed(kinds):
        box = struct.pack(">I4s", 8 + len(box), kind) + box
    return box


TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
PROMISES = {
    f"its tables promise more than {MOST_SAMPLES} samples": [
        _in(_table(b"stsz", 0, 1, 200_000_000), *TABLE),
        _in(_table(b"stsz", 0, 1, 200_000_000), b"moov", b"udta", b"trak"),
        _in(_table(b"stsz", 0, 1, 200_000_000), b"free", *TABLE),
        _in(_table(b"trun", 0, 200_000_000), b"moof", b"traf"),
        _in(_table(b"trun", 0, MOST_SAMPLES // 2), b"moof", b"traf") * 2,
    ],
    f"it has more than {MOST_EDITS} edits": [
        _in(_table(b"elst", 0, MOST_EDITS + 1), b"moov", b"trak", b"edts")
    ],
    "its header is compressed": [_in(bytes(20), b"moov", b"cmov")],
    f"its headers have more than {MOST_PARTS} parts": [
        struct.pack(">I4s", 8, b"free") * 2_000_000,
        struct.pack(">I4sQ", 1, b"free", 16) * 1_000_000,
    ],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("said", PROMISES)
def test_a_header_that_promises_too_much_is_corrupt(tmp_path, numbered_video, said, backend):
    path = tmp_path / "a.mp4"
    for promise in PROMISES[said]:
        if promise[4:8] == b"moof":
            path.write_bytes(numbered_video.read_bytes() + promise)
        else:
            path.write_bytes(FTYP + promise + numbered_video.read_bytes())
        assert _refusal(path, backend) == f"corrupt: {said}"


@pytest.mark.parametrize("where", ["front", "tracks"])
def test_a_matroska_of_empty_elements_is_refused_soon(tmp_path, write_numbered, where):
    data = write_numbered(tmp_path / "a.mkv", 3).read_bytes()
    place = data.index(b"\x18\x53\x80\x67")
    head = data[:place] + b"\x18\x53\x80\x67\x01" + b"\xff" * 7
    path = tmp_path / "b.mkv"
    empty = b"\xec\x80" * 2_000_000
    if where == "front":
        path.write_bytes(head + empty + data[place + 12 :])
    else:
        tracks = data.index(b"\x16\x54\xae\x6b")
        path.write_bytes(head + data[place + 12 : tracks] + empty + data[tracks:])
    start = time.process_time()
    with pytest.raises(
        VideoDecodeError, match=rf"corrupt: its headers have more than {MOST_PARTS}"
    ):
        open_video(path)
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("nested", [b"moov", b"trak", b"meta"])
def test_boxes_that_are_nested_deeply_end_soon(tmp_path, nested):
    box = b""
    for _ in range(20_000):
        box = struct.pack(">I4s", 8 + len(box), nested) + box
    path = tmp_path / "a.mp4"
    path.write_bytes(FTYP + box)
    assert _refusal(path, "auto") == "corrupt: its index cannot be read"


@pytest.mark.parametrize("code", [b"\0\0\1\x67", b"\0\0\0\1\x40\1"], ids=["h264", "hevc"])
def test_a_raw_stream_of_empty_units_is_refused_soon(tmp_path, code):
    path = tmp_path / "a.264"
    path.write_bytes(code * (MOST_UNITS + 1))
    expected = f"corrupt: its raw stream has more than {MOST_UNITS} units"
    assert _refusal(path, "auto") == expected


def test_plain_sound_of_many_samples_is_no_fault(tmp_path, numbered_video):
    """A sample a tick, all of them in the file: FFmpeg keeps no entry for each."""
    path = tmp_path / "a.mp4"
    ticks = _table(b"stts", 0, 1, MOST_SAMPLES + 1, 1)
    sizes = _table(b"stsz", 0, 1, MOST_SAMPLES + 1)
    silence = _in(bytes(MOST_SAMPLES), b"free")
    path.write_bytes(numbered_video.read_bytes() + _in(ticks + sizes, *TABLE) + silence)
    assert [read_number(p.numpy()) for p in read_frames(path, [0, 59])] == [0, 59]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_no_file_is_refused_at_once(tmp_path, backend):
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.mp4"))
    irregular = "not a video: it is no regular file"
    assert _refusal(tmp_path / "fifo.mp4", backend) == irregular
    assert _refusal(tmp_path / "socket.mp4", backend) == irregular
    assert _refusal("/dev/zero", backend) == irregular
    assert _refusal(tmp_path, backend) == "not a video: it is a folder"
    assert _refusal(tmp_path / "loop.mp4", backend).startswith("missing: Too many levels")
    assert _refusal("a\0b.mp4", backend) == "missing: embedded null byte"


def test_a_file_that_takes_too_long_is_told(write_numbered, tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "a.mp4", 30)
    with open_video(path) as decoder:
        monkeypatch.setattr(stream, "MOST_SECONDS", -1.0)
        with pytest.raises(VideoDecodeError) as error:
            decoder.frames([20])
        told = "too slow: more than -1 s; cut the video into parts, or re-encode it (pyav, decode)"
        assert str(error.value) == f"{path}: {told}"
    other = write_numbered(tmp_path / "b.mp4", 30)
    with pytest.raises(VideoDecodeError, match=r"b\.mp4: too slow: "):
        open_video(other)
    with pytest.raises(VideoDecodeError, match=r"b\.mp4: too slow: "):
        read_frames(other, [3])
