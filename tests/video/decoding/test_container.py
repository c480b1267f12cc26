import struct

import pytest

from stvit_video.video.decoding.container import read_crop, read_extent
from stvit_video.video.decoding.display import Crop


def _box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _track(number, *, aperture=(), version=0):
    head = bytes([version, 0, 0, 0]) + bytes(16 if version else 8) + struct.pack(">I", number)
    clap = _box(b"clap", struct.pack(">8i", *aperture)) if aperture else b""
    entry = _box(b"avc1", bytes(24), struct.pack(">2H", 96, 64), bytes(50), clap)
    stsd = _box(b"stsd", bytes(8), entry)
    media = _box(b"mdia", _box(b"minf", _box(b"stbl", stsd)))
    return _box(b"trak", _box(b"tkhd", head, bytes(60)), media)


def _mp4(tmp_path, *tracks):
    path = tmp_path / "a.mp4"
    path.write_bytes(_box(b"ftyp", bytes(8)) + _box(b"moov", *tracks) + _box(b"mdat", bytes(99)))
    return path


@pytest.mark.parametrize("version", [0, 1])
def test_the_aperture_is_that_of_the_track(tmp_path, version):
    aperture = (90, 1, 116, 2, 1, 1, -2, 1)
    path = _mp4(tmp_path, _track(3), _track(7, aperture=aperture, version=version))
    assert read_crop(path, stream_index=1, track_id=7) == Crop(4, 1, 2, 5)
    assert read_crop(path, stream_index=0, track_id=3) == Crop()
    assert read_crop(path, stream_index=0, track_id=8) == Crop()


@pytest.mark.parametrize(
    "aperture",
    [
        (98, 1, 64, 1, 0, 1, 0, 1),  # wider than the picture
        (90, 1, 58, 1, 9, 1, 0, 1),  # beyond its right side
        (90, 0, 58, 1, 0, 1, 0, 1),  # divided by nothing
    ],
)
def test_an_aperture_that_cannot_be_is_none(tmp_path, aperture):
    path = _mp4(tmp_path, _track(1, aperture=aperture))
    assert read_crop(path, stream_index=0, track_id=1) == Crop()


def _element(kind, *parts):
    body = b"".join(parts)
    return bytes.fromhex(kind) + (len(body) | 1 << 28).to_bytes(4, "big") + body


def _matroska_track(kind, *video):
    return _element("ae", _element("83", bytes([kind])), _element("e0", *video) if video else b"")


def _matroska(tmp_path, *tracks):
    path = tmp_path / "a.mkv"
    segment = _element("18538067", _element("1654ae6b", *tracks), _element("1f43b675", bytes(99)))
    path.write_bytes(_element("1a45dfa3", b"") + segment)
    return path


def test_the_crop_is_that_of_the_track_of_the_stream(tmp_path):
    sides = {"54cc": 4, "54bb": 2, "54dd": 300, "54aa": 1}
    video = [_element(kind, count.to_bytes(2, "big")) for kind, count in sides.items()]
    unknown = _matroska_track(3)  # FFmpeg makes no stream of it
    path = _matroska(tmp_path, _matroska_track(2), unknown, _matroska_track(1, *video))
    assert read_crop(path, stream_index=1, track_id=0) == Crop(4, 2, 300, 1)
    assert read_crop(path, stream_index=0, track_id=0) == Crop()
    assert read_crop(path, stream_index=2, track_id=0) == Crop()


@pytest.mark.parametrize("make", [_mp4, _matroska])
def test_a_header_that_ends_anywhere_or_lies_about_its_sizes_has_no_crop(tmp_path, make):
    path = make(tmp_path, (_track(1) if make is _mp4 else _matroska_track(1, bytes(9))))
    data = path.read_bytes()
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        assert read_crop(path, stream_index=0, track_id=1) == Crop()
        read_extent(path)
    for place in range(len(data)):
        path.write_bytes(data[:place] + b"\xff\xff\xff" + data[place + 3 :])
        assert read_crop(path, stream_index=0, track_id=1) == Crop()
        read_extent(path)


def test_a_box_of_a_size_beyond_any_file_ends_the_walk(tmp_path):
    path = tmp_path / "a.mp4"
    inner = struct.pack(">I4sQ", 1, b"trak", (1 << 64) - 1)
    path.write_bytes(_box(b"ftyp", bytes(8)) + struct.pack(">I4s", 1 << 20, b"moov") + inner * 3)
    assert read_crop(path, stream_index=0, track_id=1) == Crop()


def test_a_riff_header_of_four_bytes_declares_nothing(tmp_path):
    path = tmp_path / "a.avi"
    path.write_bytes(b"RIFF")
    assert read_extent(path).declared_bytes == 8
