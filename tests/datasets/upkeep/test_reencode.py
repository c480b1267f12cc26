import av
import numpy as np
import pytest
import torch

from stvit_video.datasets.upkeep.groups import plan_groups
from stvit_video.datasets.upkeep.reencode import ReencodeJob, reencode_video, scaled_size
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.errors import ConfigError
from stvit_video.settings.encode import EncodeSettings
from stvit_video.video.decoding.open import probe_video, read_frames
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures


def _reencode(source, target, *, purpose="any", stride=None, **settings):
    encode = EncodeSettings(**settings)
    groups = plan_groups(purpose, stride=stride, gop=encode.gop)
    return reencode_video(ReencodeJob(source, target, encode, groups))


def _packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(p.pts, p.dts, p.is_keyframe) for p in container.demux(stream) if p.size]


def test_every_frame_of_an_awkward_source_is_there_in_order(tmp_path, write_numbered):
    source = write_numbered(
        tmp_path / "a.avi", 50, codec="mpeg4", options={"bf": "2", "g": "12", "b": "2M"}
    )
    before = source.read_bytes()
    result = _reencode(source, tmp_path / "new" / "a.mp4")
    assert (result.verdict, result.num_frames, result.fps) == ("ok", 50, 25.0)
    assert (result.codec, result.gop, result.backend) == ("h264", "closed", "decord")
    pictures = read_frames(tmp_path / "new" / "a.mp4", list(range(50)))
    assert [read_number(p.numpy()) for p in pictures] == list(range(50))
    assert source.read_bytes() == before
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.mp4"]


def test_groups_are_as_long_as_asked_for_and_have_no_b_frames(tmp_path, numbered_video):
    assert _reencode(numbered_video, tmp_path / "a.mp4", gop=7).is_ok
    packets = _packets(tmp_path / "a.mp4")
    assert [i for i, packet in enumerate(packets) if packet[2]] == list(range(0, 60, 7))
    assert all(pts == dts for pts, dts, _ in packets)


def test_the_short_side_is_scaled_and_never_enlarged(tmp_path, write_numbered):
    source = write_numbered(tmp_path / "a.mp4", 11, width=320, height=180)
    result = _reencode(source, tmp_path / "b.mp4", short_side=90)
    assert (result.width, result.height) == (160, 90)
    pictures = read_frames(tmp_path / "b.mp4", list(range(11)))
    assert [read_number(p.numpy()) for p in pictures] == list(range(11))
    assert scaled_size(1920, 1080, 256) == (456, 256)
    assert scaled_size(270, 480, 256) == (256, 456)
    assert scaled_size(97, 65, 256) == (96, 64)


def test_uneven_times_are_kept(tmp_path, write_numbered):
    times = [0, 10, 50, 60, 180, 220, 230, 350, 391, 424, 457]
    source = write_numbered(tmp_path / "a.mkv", 11, times=times)
    assert _reencode(source, tmp_path / "b.mp4").is_ok
    ticks = np.array([pts for pts, _, _ in _packets(tmp_path / "b.mp4")])
    assert np.abs(ticks / 90 - times).max() < 0.1


def test_turned_pictures_are_stored_upright(tmp_path, numbered_video):
    source = tmp_path / "turned.mp4"
    with av.open(str(numbered_video)) as reader, av.open(str(source), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.set_display_rotation(90)
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    result = _reencode(source, tmp_path / "a.mp4")
    assert (result.width, result.height, result.num_frames) == (64, 96, 60)
    turned, stored = (read_frames(p, [17])[0].numpy() for p in (source, tmp_path / "a.mp4"))
    assert read_number(np.rot90(stored, k=-1)) == read_number(np.rot90(turned, k=-1)) == 17


@pytest.mark.parametrize("short_side", [64, 32])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le"])
def test_colours_are_kept(tmp_path, pix_fmt, short_side):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :32], picture[:, 32:64], picture[:, 64:] = (200, 40, 40), (40, 120, 40), (128,) * 3
    how = {"pix_fmt": pix_fmt, "options": {"crf": "4", "x264-params": "log=-1"}}
    write_pictures(tmp_path / "a.mp4", [picture] * 3, **how)
    assert _reencode(tmp_path / "a.mp4", tmp_path / "b.mp4", crf=8, short_side=short_side).is_ok
    old, new = (read_frames(tmp_path / name, [1])[0].int() for name in ("a.mp4", "b.mp4"))
    for column in (12, 46, 80):
        scaled = new[short_side // 2, column * short_side // 64]
        assert torch.allclose(old[32, column], scaled, atol=4)


def test_a_source_that_is_no_video_says_so_and_leaves_nothing(tmp_path):
    source = tmp_path / "a.mp4"
    source.write_text("words " * 99)
    assert _reencode(source, tmp_path / "new" / "a.mp4").verdict == "not a video"
    assert list((tmp_path / "new").iterdir()) == []


def test_a_new_file_that_lacks_a_frame_is_thrown_away(tmp_path, numbered_video, monkeypatch):
    scanned = ScanResult(verdict="ok", num_frames=59)
    monkeypatch.setattr("stvit_video.datasets.upkeep.reencode.scan_video", lambda path: scanned)
    result = _reencode(numbered_video, tmp_path / "new" / "a.mp4")
    assert (result.verdict, result.detail) == (
        "not written",
        "60 frames read, 59 in the new file, ok",
    )
    assert list((tmp_path / "new").iterdir()) == []


def test_a_target_that_cannot_be_written_is_reported(tmp_path, numbered_video):
    (tmp_path / "new").write_text("a file where the folder should be")
    result = _reencode(numbered_video, tmp_path / "new" / "a.mp4")
    assert (result.verdict, result.detail) == ("not written", "File exists")


def test_a_prepared_copy_of_one_picture_has_one_frame(tmp_path):
    pictures = [numbered_picture(3, width=96, height=64)]
    write_pictures(tmp_path / "a.png", pictures, codec="png", pix_fmt="rgb24")
    assert _reencode(tmp_path / "a.png", tmp_path / "a.mp4").num_frames == 1
    assert probe_video(tmp_path / "a.mp4").num_frames == 1


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [("short_side", 8, "16..8192"), ("gop", 0, "1..1000"), ("crf", 52, "0..51")],
)
def test_a_setting_out_of_range_is_named(setting, value, allowed):
    with pytest.raises(ConfigError) as caught:
        EncodeSettings(**{setting: value})
    assert str(caught.value) == f"encode.{setting} ({value}) must be in {allowed}"


def _needed_pictures(path):
    """List frame numbers: key frames, and pictures that some other may need."""
    with av.open(str(path)) as container:
        packets = sorted((p for p in container.demux(video=0) if p.size), key=lambda p: p.pts)
    entries = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    return entries, [number for number, p in enumerate(packets) if _is_reference(bytes(p))]


def _is_reference(packet):
    """Whether nal_ref_idc of the picture says so; units of a packet begin with their length."""
    while packet[4] & 31 not in (1, 5):
        packet = packet[4 + int.from_bytes(packet[:4]) :]
    return packet[4] >> 5 & 3 > 0


def _decoded(path, skip_frame):
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.skip_frame = skip_frame
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(("stride", "step", "gop"), [(4, 4, 32), (3, 3, 30), (32, 16, 32)])
def test_a_file_for_dense_clips_needs_only_multiples_of_the_step(
    tmp_path, write_numbered, stride, step, gop
):
    source = write_numbered(tmp_path / "a.mp4", 77)
    result = _reencode(source, tmp_path / "b.mp4", purpose="dense", stride=stride)
    assert (result.verdict, result.num_frames, result.gop) == ("ok", 77, "closed")
    entries, needed = _needed_pictures(tmp_path / "b.mp4")
    assert entries == list(range(0, 77, gop))
    last_of_groups = [end - 1 for end in (*entries[1:], 77)]  # x264 ends a closed group so
    assert set(range(0, 77, step)) <= set(needed)
    assert set(needed) <= {*range(0, 77, step), *last_of_groups}
    wanted = [5, 76, 31, 32, 0, 4, 8, 63, 64]
    pictures = read_frames(tmp_path / "b.mp4", wanted)
    assert [read_number(p.numpy()) for p in pictures] == wanted


def test_a_dense_clip_is_read_from_the_references_alone(tmp_path, write_numbered):
    source = write_numbered(tmp_path / "a.mp4", 77)
    assert _reencode(source, tmp_path / "b.mp4", purpose="dense", stride=4).is_ok
    whole, references = (_decoded(tmp_path / "b.mp4", skip) for skip in ("DEFAULT", "NONREF"))
    needed = [*range(0, 32, 4), 31, *range(32, 64, 4), 63, *range(64, 77, 4)]
    assert (len(whole), len(references)) == (77, len(needed))
    assert np.array_equal(np.stack(references), np.stack(whole)[needed])


def test_a_file_for_segments_is_all_key_frames(tmp_path, numbered_video):
    assert _reencode(numbered_video, tmp_path / "a.mp4", purpose="segments").is_ok
    assert all(is_key for _, _, is_key in _packets(tmp_path / "a.mp4"))
