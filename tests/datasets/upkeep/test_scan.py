import re
from dataclasses import replace

import av
import pytest

from stvit_video.datasets.upkeep.scan import ScanResult, packed_indexes, scan_video
from stvit_video.video.decoding.formats import what_it_is
from stvit_video.video.decoding.index import VideoIndex


def test_a_whole_video_is_ok_and_read_by_decord(numbered_video):
    result = scan_video(numbered_video)
    assert replace(result, index="") == ScanResult(
        verdict="ok",
        num_frames=60,
        fps=25.0,
        duration_seconds=2.4,
        width=96,
        height=64,
        codec="h264",
        gop="closed",
        backend="decord",
    )
    [(path, packed)] = packed_indexes({numbered_video: result})
    index = VideoIndex.from_bytes(packed, path)
    assert (index.num_bytes, index.info.num_frames) == (numbered_video.stat().st_size, 60)


def test_a_video_that_decord_misreads_is_given_to_pyav_with_the_reason(tmp_path, write_numbered):
    options = {"x264-params": "keyint=12:open-gop=1:bframes=3:b-adapt=0:scenecut=0:log=-1"}
    result = scan_video(write_numbered(tmp_path / "a.mp4", 40, options=options))
    assert (result.verdict, result.num_frames, result.gop) == ("ok", 40, "open")
    assert (result.backend, result.detail) == ("pyav", "open groups of pictures")


def test_a_picture_whose_damage_the_decoder_conceals_is_found(tmp_path, numbered_video):
    path = tmp_path / "a.mp4"
    with av.open(str(numbered_video)) as container:
        key = [p for p in container.demux(video=0) if p.is_keyframe][1]
        start, end = key.pos + key.size // 2, key.pos + key.size
    data = bytearray(numbered_video.read_bytes())
    data[start:end] = bytes(255 - byte for byte in data[start:end])
    path.write_bytes(data)
    result = scan_video(path)
    assert (result.verdict, result.num_frames, result.backend) == ("corrupt", 60, "pyav")
    assert re.fullmatch(r"faults: [1-9]\d*, decodable frames: 60", result.detail)


def test_a_scan_by_pyav_keeps_a_video_from_decord(numbered_video, monkeypatch):
    monkeypatch.setattr("stvit_video.datasets.upkeep.scan._doubt_of_open_decord", None)
    result = scan_video(numbered_video, backend="pyav")
    assert (result.verdict, result.num_frames) == ("ok", 60)
    assert (result.backend, result.detail) == ("pyav", "decord was not tried")


@pytest.mark.parametrize(
    ("content", "verdict"), [(None, "missing"), (b"", "empty"), (b"words " * 99, "not a video")]
)
def test_what_does_not_open_has_its_reason_as_verdict(tmp_path, content, verdict):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    detail = what_it_is(content) if verdict == "not a video" else ""
    assert scan_video(path) == ScanResult(verdict=verdict, detail=detail)


def test_a_cut_video_is_truncated(tmp_path, write_numbered):
    how = {"container_options": {"movflags": "faststart"}}
    path = write_numbered(tmp_path / "a.mp4", 60, **how)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 8 // 10])
    result = scan_video(path)
    assert (result.verdict, result.detail) == (
        "truncated",
        "header says 60 frames, 32 decodable",
    )
