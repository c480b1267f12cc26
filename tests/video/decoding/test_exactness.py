"""Every kind of file that users have: `auto` must serve exactly the picture that was asked for."""

import json
import random
import struct
from functools import partial

import av
import numpy as np
import pytest
import torch

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.video.decoding.exactness import doubt_of_decord
from stvit_video.video.decoding.indexing import index_video
from stvit_video.video.decoding.known_files import KnownFiles
from stvit_video.video.decoding.open import open_video, probe_video, read_frames
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.decoding.stream import decode_all
from stvit_video.video.decoding.torchcodec import _frame_mappings
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures

NUM_PICTURES = 60
NUM_CLIPS = 60
X264 = {"g": "12", "bf": "2", "x264-params": "log=-1"}
OPEN_GOP = "keyint=12:min-keyint=1:open-gop=1:bframes=3:b-adapt=0:scenecut=0:log=-1"
REFRESH = "intra-refresh=1:keyint=12:log=-1"
X265 = {"x265-params": "keyint=12:min-keyint=1:bframes=3:b-adapt=0:pools=none:log-level=none"}
VPX = {"g": "16", "deadline": "realtime", "cpu-used": "8"}
AV1 = {"preset": "8", "crf": "20", "g": "16", "svtav1-params": "lp=1"}
HALVED_AV1 = AV1 | {"svtav1-params": "lp=1:resize-mode=1:resize-denom=16:resize-kf-denom=16"}
MPEG4 = {"g": "12", "bf": "2", "b": "2M"}
UNEVEN_TIMES = [0, 10, 50, 60, 180, 220, 230, 350] + [383 + 33 * i for i in range(52)]
LATE_TIMES = [2000 + 40 * i for i in range(NUM_PICTURES)]


def _encode(path, *, width=96, height=64, **how):
    how.setdefault("options", X264)
    pictures = (numbered_picture(i, width=width, height=height) for i in range(NUM_PICTURES))
    write_pictures(path, pictures, **how)


def _remux(
    path,
    source,
    *,
    start_seconds=0.0,
    seek=True,
    matrix=None,
    all_keys=False,
    swap=None,
    transform=None,
):
    """Copy packets; `swap` replaces the payload of the packet at a place of the file."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        stream = reader.streams.video[0]
        target = writer.add_stream_from_template(stream)
        if matrix:
            target.set_display_matrix(_full_matrix(matrix))
        shift = round(start_seconds / stream.time_base)
        if seek:
            reader.seek(shift, stream=stream)
        for place, packet in enumerate(reader.demux(stream)):
            if packet.dts is None:
                continue
            copy = packet
            if swap is not None and place == swap:
                copy = av.Packet(transform(bytes(packet)))
                copy.duration, copy.time_base = packet.duration, packet.time_base
            copy.pts, copy.dts = packet.pts - shift, packet.dts - shift
            copy.stream = target
            copy.is_keyframe = copy.is_keyframe or all_keys
            writer.mux(copy)


def _remuxed(path, *, suffix=".mp4", how=None, **changes):
    source = path.with_name(f"source_of_{path.stem}{suffix}")
    _encode(source, **(how or {}))
    _remux(path, source, **changes)


def _full_matrix(matrix):
    a, b, c, d = (number << 16 for number in matrix)
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


def _shown_by(path, *, matrix):
    """Write the display matrix of the track: x' = a x + c y, y' = b x + d y."""
    _encode(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", *_full_matrix(matrix))
    path.write_bytes(data)


def _without_sync_table(path, **how):
    _encode(path, **how)
    path.write_bytes(path.read_bytes().replace(b"stss", b"free", 1))


def _with_aperture(path):
    """Put a clean aperture of 90x58 pixels, 1 to the right of the centre and 2 above it, in."""
    _encode(path)
    data = bytearray(path.read_bytes())
    box = struct.pack(">I4s8i", 40, b"clap", 90, 1, 58, 1, 1, 1, -2, 1)
    start = end = 0
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        start = data.index(kind, start) - 4
        size = int.from_bytes(data[start : start + 4], "big")
        data[start : start + 4] = (size + len(box)).to_bytes(4, "big")
        end = start + size
        start += 8
    data[end:end] = box
    path.write_bytes(data)


def _with_track_crop(path):
    """Make of the element that gives the unit of the shown size one that cuts 4 columns off."""
    _encode(path)
    unit, crop = bytes.fromhex("54b28104"), bytes.fromhex("54cc8104")
    data = path.read_bytes()
    assert data.count(unit) == 1
    path.write_bytes(data.replace(unit, crop))


def _with_other_stream(path, *, first, second):
    """Write two streams: (codec, pictures, width, height), the second with numbers from 0 on."""
    with av.open(str(path), "w") as container:
        packets = []
        for start, (codec, count, width, height) in ((1000, first), (0, second)):
            options = X264 if codec == "libx264" else {}
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(count):
                picture = numbered_picture(start + number, width=width, height=height)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


def _shortened(path):
    """Let the edit list of the file end after a third of its duration."""
    _encode(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") + 12
    data[start : start + 4] = (int.from_bytes(data[start : start + 4], "big") // 3).to_bytes(
        4, "big"
    )
    path.write_bytes(data)


def _information_only(payload):
    return (4).to_bytes(4, "big") + bytes([6, 5, 1, 0x80])  # h264: a message without a picture


def _garbage(payload):
    return bytes(255 - byte for byte in payload)


def _hidden(payload):
    return bytes([payload[0] & ~0x10]) + payload[1:]  # vp8: clear the show bit


VP9 = {"codec": "libvpx-vp9", "options": VPX}
KINDS = {
    "closed.mp4": ("decord", partial(_encode)),
    "closed.mkv": ("decord", partial(_encode)),
    "open.mp4": ("pyav", partial(_encode, options={"x264-params": OPEN_GOP})),
    "refresh.mp4": ("pyav", partial(_encode, options={"x264-params": REFRESH})),
    "hevc.mp4": ("pyav", partial(_encode, codec="libx265", options=X265)),
    "hevc10.mp4": (
        "pyav",
        partial(_encode, codec="libx265", options=X265, pix_fmt="yuv420p10le"),
    ),
    "vp8.webm": ("decord", partial(_encode, codec="libvpx", options=VPX)),
    "vp9.webm": ("decord", partial(_encode, **VP9)),
    "av1.mp4": ("pyav", partial(_encode, codec="libsvtav1", options=AV1)),
    "av1.webm": ("pyav", partial(_encode, codec="libsvtav1", options=AV1)),
    "mpeg4.avi": ("pyav", partial(_encode, codec="mpeg4", options=MPEG4)),
    "edit_list.mp4": ("pyav", partial(_remuxed, start_seconds=1.0)),
    "edit_list_late.mp4": ("pyav", partial(_remuxed, start_seconds=1.64, seek=False)),
    "edit_list_short.mp4": ("pyav", _shortened),
    "transport.ts": ("pyav", partial(_encode)),
    "program.mpg": ("pyav", partial(_encode, codec="mpeg2video", options=MPEG4)),
    "uneven.mp4": ("decord", partial(_encode, times=UNEVEN_TIMES)),
    "late.mp4": ("decord", partial(_encode, times=LATE_TIMES)),
    "late.mkv": ("decord", partial(_encode, times=LATE_TIMES)),
    "fragmented.mp4": (
        "decord",
        partial(_encode, container_options={"movflags": "frag_keyframe+empty_moov"}),
    ),
    "odd.mp4": ("pyav", partial(_encode, width=97, height=65, pix_fmt="yuv444p")),
    "odd.webm": ("pyav", partial(_encode, width=97, height=65, **VP9)),
    "live.webm": ("pyav", partial(_encode, container_options={"live": "1"}, **VP9)),
    "turned_90.mp4": ("pyav", partial(_remuxed, matrix=(0, -1, 1, 0))),
    "turned_180.mp4": ("pyav", partial(_remuxed, matrix=(-1, 0, 0, -1))),
    "turned_-90.mp4": ("pyav", partial(_remuxed, matrix=(0, 1, -1, 0))),
    "turned_90.mkv": ("pyav", partial(_remuxed, matrix=(0, -1, 1, 0))),
    "message.mp4": ("pyav", partial(_remuxed, swap=20, transform=_information_only)),
    "garbage.mp4": ("pyav", partial(_remuxed, swap=20, transform=_garbage)),
    "hidden.webm": (
        "pyav",
        partial(
            _remuxed,
            suffix=".webm",
            how={"codec": "libvpx", "options": VPX},
            swap=20,
            transform=_hidden,
        ),
    ),
}
KINDS |= {
    "no_sync_table.mp4": ("pyav", _without_sync_table),
    "no_sync_table_av1.mp4": (
        "pyav",
        partial(_without_sync_table, codec="libsvtav1", options=AV1),
    ),
    "all_keys.asf": (
        "pyav",
        partial(
            _remuxed,
            suffix=".asf",
            how={"codec": "msmpeg4v2", "options": {"g": "12", "b": "2M"}},
            all_keys=True,
        ),
    ),
    "fast_1500.mkv": ("pyav", partial(_encode, fps=1500)),
    "fast_2000.mkv": ("pyav", partial(_encode, fps=2000)),
    "fast_2000.mp4": ("decord", partial(_encode, fps=2000)),
    "mirrored.mp4": ("pyav", partial(_shown_by, matrix=(-1, 0, 0, 1))),
    "upside_down.mp4": ("pyav", partial(_shown_by, matrix=(1, 0, 0, -1))),
    "transposed.mp4": ("pyav", partial(_shown_by, matrix=(0, 1, 1, 0))),
    "transversed.mp4": ("pyav", partial(_shown_by, matrix=(0, -1, -1, 0))),
    "mirrored.mkv": ("pyav", partial(_remuxed, matrix=(-1, 0, 0, 1))),
    "aperture.mp4": ("pyav", _with_aperture),
    "track_crop.mkv": ("pyav", _with_track_crop),
    "halved_av1.mp4": (
        "pyav",
        partial(_encode, codec="libsvtav1", options=HALVED_AV1, width=192, height=128),
    ),
    "thumbnail_first.mp4": (
        "pyav",
        partial(
            _with_other_stream, first=("mjpeg", 1, 48, 32), second=("libx264", NUM_PICTURES, 96, 64)
        ),
    ),
    "thumbnail_first.mkv": (
        "pyav",
        partial(
            _with_other_stream, first=("mjpeg", 1, 48, 32), second=("libx264", NUM_PICTURES, 96, 64)
        ),
    ),
}
FIRST_NUMBER = {"edit_list.mp4": 25, "edit_list_late.mp4": 41}
LAST_NUMBER = {"edit_list_short.mp4": 19}
SHOWN = {
    "turned_90.mp4": lambda stored: np.rot90(stored, 1, (1, 2)),
    "turned_180.mp4": lambda stored: np.rot90(stored, 2, (1, 2)),
    "turned_-90.mp4": lambda stored: np.rot90(stored, -1, (1, 2)),
    "turned_90.mkv": lambda stored: np.rot90(stored, 1, (1, 2)),
    "mirrored.mp4": lambda stored: stored[:, :, ::-1],
    "mirrored.mkv": lambda stored: stored[:, :, ::-1],
    "upside_down.mp4": lambda stored: stored[:, ::-1],
    "transposed.mp4": lambda stored: stored.swapaxes(1, 2),
    "transversed.mp4": lambda stored: stored.swapaxes(1, 2)[:, ::-1, ::-1],
    "aperture.mp4": lambda stored: stored[:, 1:59, 4:94],
    "track_crop.mkv": lambda stored: stored[:, :, 4:],
}
"""What a player makes of stored pictures (T, H, W, C)."""
STORED = SHOWN | {
    "turned_90.mp4": SHOWN["turned_-90.mp4"],
    "turned_-90.mp4": SHOWN["turned_90.mp4"],
    "turned_90.mkv": SHOWN["turned_-90.mp4"],
    "aperture.mp4": lambda shown: shown,
    "track_crop.mkv": lambda shown: shown,
}
"""The way back, as far as numbers need it to be read."""
STREAM = {"thumbnail_first.mp4": 1, "thumbnail_first.mkv": 1}


@pytest.fixture(scope="module")
def video_of_kind(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")

    def make(name):
        path = folder / name
        if not path.exists():
            KINDS[name][1](path)
        return path

    return make


def _shown_pictures(path):
    """Decode from the start with PyAV alone: upright pictures in the order of presentation."""
    pictures = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=STREAM.get(path.name, 0)):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            pictures += [frame.to_ndarray(format="rgb24") for frame in frames]
    return SHOWN.get(path.name, np.asarray)(np.stack(pictures))


def _numbers(pictures, name):
    return [read_number(picture) for picture in STORED.get(name, np.asarray)(pictures)]


def _random_clip(randomness, num_frames):
    start = randomness.randrange(num_frames)
    return (start + torch.arange(5) * randomness.choice([1, 4])).clamp(max=num_frames - 1)


@pytest.mark.parametrize("name", KINDS)
def test_auto_serves_no_wrong_frame(video_of_kind, name, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "0")
    path = video_of_kind(name)
    info = probe_video(path)
    expected = _shown_pictures(path)
    num_missing = name in ("message.mp4", "garbage.mp4", "hidden.webm")  # one was taken away
    shown = range(FIRST_NUMBER.get(name, 0), LAST_NUMBER.get(name, NUM_PICTURES - 1) + 1)
    assert len(expected) == info.num_frames == len(shown) - num_missing
    if not num_missing:
        assert _numbers(expected, name) == list(shown)
    assert info.backend == "pyav"
    assert expected.shape[1:3] == (info.height, info.width)
    randomness = random.Random(name)
    for _ in range(NUM_CLIPS):
        indices = _random_clip(randomness, info.num_frames)
        pictures = read_frames(path, indices).numpy()
        assert _numbers(pictures, name) == _numbers(expected[indices], name)
        assert np.array_equal(pictures, expected[indices])


@pytest.mark.parametrize("name", [name for name, (use, _) in KINDS.items() if use == "decord"])
def test_decord_gives_the_same_where_its_exactness_is_not_in_doubt(video_of_kind, name):
    path = video_of_kind(name)
    with PyavDecoder(path) as decoder:
        assert doubt_of_decord(decoder.index) == ""
        expected = decoder.frames(range(NUM_PICTURES))
    randomness = random.Random(name)
    for _ in range(NUM_CLIPS // 4):
        indices = _random_clip(randomness, NUM_PICTURES)
        assert torch.equal(read_frames(path, indices, backend="decord"), expected[indices])


@pytest.mark.parametrize("name", [name for name, (use, _) in KINDS.items() if use == "pyav"])
def test_the_exactness_of_decord_is_in_doubt(video_of_kind, name):
    with PyavDecoder(video_of_kind(name)) as decoder:
        assert doubt_of_decord(decoder.index) != ""


@pytest.mark.parametrize("name", ["open.mp4", "hevc.mp4", "mpeg4.avi", "transport.ts"])
def test_decord_alone_would_serve_wrong_frames(video_of_kind, name):
    path = video_of_kind(name)
    randomness = random.Random(name)
    num_wrong = 0
    with open_video(path, backend="decord") as decoder:
        for _ in range(NUM_CLIPS):
            indices = _random_clip(randomness, decoder.num_frames)
            numbers = [read_number(p) for p in decoder.frames(indices).numpy()]
            num_wrong += numbers != indices.tolist()
    assert num_wrong > 0


@pytest.mark.parametrize("name", ["closed.mp4", "vp8.webm", "vp9.webm", "turned_90.mp4"])
def test_both_decoders_give_equal_pixels_where_both_are_exact(video_of_kind, name):
    path = video_of_kind(name)
    indices = torch.arange(0, NUM_PICTURES, 7)
    by_decord, by_pyav = (read_frames(path, indices, backend=b) for b in ("decord", "pyav"))
    assert torch.equal(by_decord, by_pyav)


@pytest.mark.parametrize(
    "name", ["closed.mp4", "open.mp4", "hevc.mp4", "edit_list.mp4", "av1.webm"]
)
def test_pyav_seeks_and_decodes_only_what_a_frame_needs(video_of_kind, name, monkeypatch):
    def refuse(decoder):
        raise AssertionError("the whole video was decoded")

    monkeypatch.setattr("stvit_video.video.decoding.pyav.pick_frames", refuse)
    monkeypatch.setattr("stvit_video.video.decoding.indexing.decode_all", refuse)
    with open_video(video_of_kind(name), backend="pyav") as decoder:
        numbers = [read_number(p) for p in decoder.frames(range(decoder.num_frames)).numpy()]
        for index in range(decoder.num_frames):
            assert read_number(decoder.frames([index])[0].numpy()) == numbers[index]


@pytest.mark.parametrize("name", ["mpeg4.avi", "transport.ts", "program.mpg"])
def test_a_file_in_doubt_is_decoded_once_and_then_read_by_seeking(video_of_kind, name, monkeypatch):
    monkeypatch.setattr("stvit_video.video.decoding.indexing._known", KnownFiles())
    passes = []
    monkeypatch.setattr(
        "stvit_video.video.decoding.indexing.decode_all",
        lambda *opened: passes.append(opened) or decode_all(*opened),
    )
    for index in range(NUM_PICTURES - 1, 0, -1):
        frames = read_frames(video_of_kind(name), [index])
        assert read_number(frames[0].numpy()) == index
    assert len(passes) == 1


def test_one_pass_seeks_only_where_a_key_frame_lies_between(video_of_kind, monkeypatch):
    starts = []
    seek = PyavDecoder._packets_from
    monkeypatch.setattr(
        PyavDecoder, "_packets_from", lambda d, entry: starts.append(entry.pts) or seek(d, entry)
    )
    with open_video(video_of_kind("closed.mp4"), backend="pyav") as decoder:
        decoder.frames([11, 3, 0, 7, 11])
        assert len(starts) == 1
        decoder.frames([0, 12, 13, 59])  # frame 12 follows on frame 0 only through a key frame
        assert len(starts) == 1 + 3


def test_many_clips_in_one_pass_equal_one_open_each(video_of_kind):
    path = video_of_kind("open.mp4")
    clips = torch.stack([_random_clip(random.Random(i), NUM_PICTURES) for i in range(7)])
    with open_video(path) as decoder:
        together = decoder.frames(clips.flatten()).unflatten(0, clips.shape)
    assert torch.equal(together, torch.stack([read_frames(path, clip) for clip in clips]))


def test_a_2x2_video_keeps_its_grey_levels(tmp_path):
    path = tmp_path / "tiny.mp4"
    pictures = (np.full((2, 2, 3), 10 * i, dtype=np.uint8) for i in range(20))
    write_pictures(path, pictures, options={"qp": "0", "x264-params": "log=-1"})
    assert probe_video(path).backend == "pyav"
    greys = read_frames(path, [0, 7, 19]).float().mean(dim=(1, 2, 3))
    assert (greys - torch.tensor([0.0, 70.0, 190.0])).abs().max() < 2


def test_a_video_of_one_frame_has_that_frame(tmp_path):
    path = tmp_path / "one.mp4"
    write_pictures(path, [numbered_picture(11, width=96, height=64)], options=X264)
    info = probe_video(path)
    assert (info.num_frames, info.duration_seconds) == (1, 0.04)
    assert [read_number(p.numpy()) for p in read_frames(path, [0, 0, 0])] == [11, 11, 11]


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), [("a.png", "png", "rgb24")])
def test_a_still_picture_is_a_video_of_one_frame(tmp_path, name, codec, pix_fmt):
    path = tmp_path / name
    picture = numbered_picture(5, width=96, height=64)
    write_pictures(path, [picture], codec=codec, pix_fmt=pix_fmt)
    assert probe_video(path).num_frames == 1
    assert np.array_equal(read_frames(path, [0])[0].numpy(), picture)


def test_an_animated_gif_counts_its_pictures(tmp_path):
    path = tmp_path / "a.gif"
    pictures = (numbered_picture(i, width=96, height=64) for i in range(7))
    write_pictures(path, pictures, codec="gif", pix_fmt="gray")
    assert probe_video(path).num_frames == 7
    assert [read_number(p.numpy()) for p in read_frames(path, [6, 2])] == [6, 2]


def test_a_change_of_size_is_scaled_to_the_first_one(tmp_path):
    path = tmp_path / "sizes.ts"
    with path.open("wb") as joined:
        for width, height in ((96, 64), (48, 32)):
            part = tmp_path / f"{width}.ts"
            pictures = (numbered_picture(i, width=width, height=height) for i in range(12))
            write_pictures(part, pictures, options=X264)
            joined.write(part.read_bytes())
    frames = read_frames(path, [3, 20])
    assert frames.shape == (2, 64, 96, 3)
    assert [read_number(p.numpy()) for p in frames] == [3, 8]


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
@pytest.mark.parametrize("name", SHOWN)
def test_every_backend_shows_pictures_as_a_player_does(video_of_kind, name, backend):
    path = video_of_kind(name)
    expected = _shown_pictures(path)
    try:
        decoder = open_video(path, backend=backend)
    except ConfigError as error:
        pytest.skip(str(error))
    with decoder:
        frames = decoder.frames([40, 3]).numpy()
        assert (decoder.info.width, decoder.info.height) == (frames.shape[2], frames.shape[1])
    assert _numbers(frames, name) == [40, 3]
    assert np.abs(frames.astype(int) - expected[[40, 3]]).mean() < 1


@pytest.mark.parametrize(
    ("backend", "name", "detail"),
    [
        ("decord", "fast_2000.mkv", "pictures share a time"),
        ("torchcodec", "fast_2000.mkv", "pictures share a time"),
        ("torchcodec", "mpeg4.avi", "container avi"),
        ("torchcodec", "transport.ts", "container mpegts"),
        ("torchcodec", "program.mpg", "container mpeg"),
        ("torchcodec", "garbage.mp4", "its packets do not tell which pictures are shown"),
        (
            "decord",
            "no_sync_table.mp4",
            "its table calls pictures key frames that are none",
        ),
    ],
)
def test_a_backend_that_is_known_to_be_wrong_refuses(video_of_kind, backend, name, detail):
    path = video_of_kind(name)
    with pytest.raises((VideoDecodeError, ConfigError)) as caught:
        open_video(path, backend=backend)
    if isinstance(caught.value, ConfigError):
        pytest.skip(str(caught.value))
    assert str(caught.value) == (
        f"{path}: wrong backend: {detail}; use auto or pyav ({backend}, open)"
    )


@pytest.mark.parametrize(
    "name", ["refresh.mp4", "hidden.webm", "edit_list.mp4", "open.mp4", "live.webm"]
)
def test_torchcodec_finds_every_frame_from_every_other(video_of_kind, name):
    path = video_of_kind(name)
    expected = _numbers(_shown_pictures(path), name)
    served = []
    for i in range(len(expected)):
        try:
            decoder = open_video(path, backend="torchcodec")
        except ConfigError as error:
            pytest.skip(str(error))
        with decoder:
            assert decoder.num_frames == len(expected)
            served += _numbers(decoder.frames([i]).numpy(), name)
    assert served == expected


def _told_to_torchcodec(path):
    """Times, durations and numbers of the key frames."""
    frames = json.loads(_frame_mappings(index_video(path, backend="pyav")))["frames"]
    times, durations = ([frame[name] for frame in frames] for name in ("pts", "duration"))
    return times, durations, [i for i, frame in enumerate(frames) if frame["key_frame"]]


def test_torchcodec_is_told_what_its_own_pass_would_find(video_of_kind):
    times, durations, keys = _told_to_torchcodec(video_of_kind("uneven.mp4"))
    with av.open(str(video_of_kind("uneven.mp4"))) as container:
        pictures = list(container.decode(video=0))
    assert times == [picture.pts for picture in pictures]
    assert durations == [*np.diff(times), pictures[-1].duration]
    assert keys == [i for i, picture in enumerate(pictures) if picture.key_frame]


def test_torchcodec_is_told_only_of_shown_pictures_and_true_key_frames(video_of_kind):
    assert _told_to_torchcodec(video_of_kind("refresh.mp4"))[2] == [0]
    hidden, whole = (
        len(_told_to_torchcodec(video_of_kind(n))[0]) for n in ("hidden.webm", "vp8.webm")
    )
    assert (hidden, whole) == (NUM_PICTURES - 1, NUM_PICTURES)
    times, _, keys = _told_to_torchcodec(video_of_kind("edit_list.mp4"))
    assert (times[0], keys[0]) == (0, 0)  # its key frame is cut away


@pytest.mark.parametrize("name", ["live.webm", "all_keys.asf"])
def test_torchcodec_looks_itself_where_the_table_or_the_header_is_no_help(video_of_kind, name):
    assert _frame_mappings(index_video(video_of_kind(name), backend="pyav")) is None


def test_only_pictures_that_need_no_other_are_entries(video_of_kind):
    with PyavDecoder(video_of_kind("all_keys.asf")) as decoder:
        table = decoder.index.table
        assert not decoder.index.is_sequential
        assert np.flatnonzero(np.isin(table.positions, table.entries)).tolist() == [
            *range(0, NUM_PICTURES, 12)
        ]
        assert table.num_false_keys == NUM_PICTURES - 5
