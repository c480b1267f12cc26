"""Damaged files: an error, or the pictures that FFmpeg gives, the same at every open."""

import numpy as np
import pytest

from stvit_video.errors import VideoDecodeError
from stvit_video.video.decoding import counting
from stvit_video.video.decoding.known_files import KnownFiles
from stvit_video.video.decoding.open import open_video
from stvit_video.video.decoding.stream import decode_all, open_stream
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures

NUM_PICTURES = 120


@pytest.fixture(scope="module")
def textured_video(tmp_path_factory):
    """An h264 mp4 whose pictures carry a texture, so that damage shows."""
    path = tmp_path_factory.mktemp("textured") / "a.mp4"
    texture = np.random.default_rng(0).integers(0, 40, (64, 96, 3)).astype(np.uint8)
    pictures = (
        numbered_picture(i, width=96, height=64) + np.roll(texture, i, axis=1)
        for i in range(NUM_PICTURES)
    )
    write_pictures(path, pictures, options={"g": "24", "bf": "2", "x264-params": "log=-1"})
    return path


def _packets(path):
    container, stream = open_stream(path, backend="test")
    with container:
        return [(packet.pos, packet.size) for packet in container.demux(stream) if packet.size]


def _overwrite(source, target, packets, *, skip, fill):
    """Put `fill` over some packets, but for the first `skip` bytes of each."""
    data = bytearray(source.read_bytes())
    for start, size in packets:
        data[start + skip : start + size] = fill * max(size - skip, 0)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("backend", ["auto", "pyav", "decord"])
@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x47"])
@pytest.mark.parametrize("num_readable", [6, 100])
def test_a_video_of_which_much_is_lost_is_an_error_at_every_open(
    textured_video, tmp_path, backend, fill, num_readable
):
    lost = _packets(textured_video)[num_readable:]
    path = _overwrite(textured_video, tmp_path / "a.mp4", lost, skip=0, fill=fill)
    for _ in range(3):
        with pytest.raises(VideoDecodeError) as caught:
            open_video(path, backend=backend)
        assert str(caught.value) == (
            f"{path}: corrupt: header says 120 frames, {num_readable} decodable ({backend}, decode)"
        )


def test_a_video_of_which_a_little_is_lost_is_counted_and_read(textured_video, tmp_path):
    lost = _packets(textured_video)[-3:]
    path = _overwrite(textured_video, tmp_path / "a.mp4", lost, skip=0, fill=b"\0")
    for _ in range(2):
        with open_video(path) as decoder:
            assert decoder.num_frames == NUM_PICTURES - 3
            numbers = [read_number(p) for p in decoder.frames([3, 90]).numpy()]
            assert numbers == [3, 90]


def _reference(path):
    container, stream = open_stream(path, backend="test")
    with container:
        return [frame.to_ndarray(format="rgb24") for frame in decode_all(container, stream)]


def _picture_or_detail(decoder, index):
    try:
        return decoder.frames([index])[0].numpy()
    except VideoDecodeError as error:
        return error.detail


@pytest.mark.parametrize("damaged", [range(30, 31), range(40, 60, 7), range(5, 115, 11)])
def test_concealed_pictures_are_those_of_a_decoding_from_the_start(
    textured_video, tmp_path, damaged, monkeypatch
):
    packets = [_packets(textured_video)[i] for i in damaged]
    path = _overwrite(textured_video, tmp_path / "a.mp4", packets, skip=30, fill=b"\x2a")
    expected = _reference(path)
    served = 0
    for _ in range(2):
        for index in range(0, NUM_PICTURES, 7):
            monkeypatch.setattr("stvit_video.video.decoding.indexing._known", KnownFiles())
            with open_video(path, backend="pyav") as decoder:
                picture = _picture_or_detail(decoder, index)
            if not isinstance(picture, str):
                assert np.array_equal(picture, expected[index])
                served += 1
            else:
                assert picture == f"frame {index} is damaged"
    assert served >= 2 * 3


def test_a_picture_that_depends_on_what_memory_held_is_refused(
    textured_video, tmp_path, monkeypatch
):
    packets = [_packets(textured_video)[i] for i in (30, 31)]
    path = _overwrite(textured_video, tmp_path / "a.mp4", packets, skip=30, fill=b"\x2a")
    with open_video(path, backend="pyav") as decoder:
        decoder.frames([3, 40])
        answers = iter([True, False])
        monkeypatch.setattr(counting, "_is_same", lambda one, other: next(answers))
        with pytest.raises(VideoDecodeError) as caught:
            decoder.frames([3, 40])
    assert str(caught.value) == f"{path}: corrupt: frame 40 is damaged (pyav, decode)"
