import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stvit_video.errors import VideoDecodeError
from stvit_video.video.decoding import indexing
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.known_files import KnownFiles
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.numbered import read_number


@pytest.fixture
def nothing_known(monkeypatch):
    monkeypatch.setattr("stvit_video.video.decoding.indexing._known", KnownFiles())


@pytest.fixture
def index(numbered_video, nothing_known):
    with PyavDecoder(numbered_video) as decoder:
        return decoder.index


def _refuse(*_, **__):
    raise AssertionError("the packets were read")


def test_an_index_comes_back_as_it_was_packed(index, numbered_video):
    packed = index.to_bytes()
    found = VideoIndex.from_bytes(packed, numbered_video)
    assert len(packed) < 500
    assert replace(found, table=index.table) == index
    for name in ("times", "marks", "entry_dts"):
        assert np.array_equal(getattr(found.table, name), getattr(index.table, name))
    for name in ("format_name", "codec", "last_duration", "doubt", "gop", "droppable"):
        assert getattr(found.table, name) == getattr(index.table, name)


def test_times_that_are_not_there_survive_packing(index, numbered_video):
    times = index.table.times.copy()
    times[1] = np.iinfo(np.int64).min
    odd = replace(index, table=replace(index.table, times=times))
    assert np.array_equal(VideoIndex.from_bytes(odd.to_bytes(), numbered_video).table.times, times)


@pytest.mark.parametrize("damaged", [b"", b"no index", b"x\x9c", None])
def test_bytes_that_are_no_index_are_none(index, numbered_video, damaged):
    damaged = index.to_bytes()[:-9] if damaged is None else damaged
    assert VideoIndex.from_bytes(damaged, numbered_video) is None


def test_an_index_of_another_version_is_none(index, numbered_video, monkeypatch):
    monkeypatch.setattr("stvit_video.video.decoding.index._VERSION", 1_000_000)
    packed = index.to_bytes()
    monkeypatch.undo()
    assert VideoIndex.from_bytes(packed, numbered_video) is None


def test_a_known_file_is_read_without_a_pass_over_its_packets(
    index, numbered_video, nothing_known, monkeypatch
):
    monkeypatch.setattr("stvit_video.video.decoding.pyav.open_and_index", _refuse)
    with PyavDecoder(numbered_video, index=index) as decoder:
        assert decoder.num_frames == 60
        assert [read_number(f.numpy()) for f in decoder.frames([41, 3])] == [41, 3]


def test_a_file_that_was_opened_once_is_known(numbered_video, nothing_known, monkeypatch):
    PyavDecoder(numbered_video).close()
    monkeypatch.setattr("stvit_video.video.decoding.pyav.open_and_index", _refuse)
    PyavDecoder(numbered_video).close()


def test_an_index_of_another_file_is_not_believed(index, tmp_path, write_numbered, nothing_known):
    path = write_numbered(tmp_path / "b.mp4", 30)
    with PyavDecoder(path, index=index.at(path)) as decoder:
        assert decoder.num_frames == 30
        assert read_number(decoder.frames([29])[0].numpy()) == 29


def test_an_index_of_a_file_that_is_gone_says_so(index):
    with pytest.raises(VideoDecodeError) as caught:
        PyavDecoder(Path("gone.mp4"), index=index.at(Path("gone.mp4")))
    assert str(caught.value) == "gone.mp4: missing (pyav, open)"


def test_counting_keeps_what_the_packets_promise(index):
    assert indexing.count_pictures(index, backend="pyav").is_sequential is False
    fewer = replace(index.table, times=index.table.times[:-1], marks=index.table.marks[:-1])
    counted = indexing.count_pictures(replace(index, table=fewer), backend="pyav")
    assert (counted.info.num_frames, counted.is_sequential) == (60, True)


class _Counting:
    """A container that counts the packets it gives."""

    def __init__(self, container):
        self.container = container
        self.num_packets = 0

    def seek(self, *place, **how):
        self.container.seek(*place, **how)

    def demux(self, stream):
        for packet in self.container.demux(stream):
            self.num_packets += 1
            yield packet

    def close(self):
        self.container.close()


def test_pictures_that_nobody_refers_to_or_asks_for_are_not_decoded(tmp_path, write_numbered):
    options = {"x264-params": "keyint=16:min-keyint=16:bframes=3:b-adapt=0:b-pyramid=0:log=-1"}
    with PyavDecoder(write_numbered(tmp_path / "b.mp4", 64, options=options)) as decoder:
        decoded = []
        decode_packets = decoder._decode_packets
        decoder._decode_packets = lambda *run: (
            decoded.append(frame) or frame for frame in decode_packets(*run)
        )
        frames = decoder.frames([16, 20, 25])
        assert [read_number(frame.numpy()) for frame in frames] == [16, 20, 25]
        assert len(decoded) == 5  # and 24 and 28, to which 25 refers


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_a_seek_goes_to_the_entry_point_itself_where_pictures_are_reordered(
    tmp_path, write_numbered, name
):
    options = {"x264-params": "keyint=16:min-keyint=16:bframes=3:b-adapt=0:scenecut=0:log=-1"}
    with PyavDecoder(write_numbered(tmp_path / name, 64, options=options)) as decoder:
        decoder._container = _Counting(decoder._container)
        assert read_number(decoder.frames([32])[0].numpy()) == 32
        assert decoder._container.num_packets == 1


@pytest.mark.parametrize("head", [b"[" * 100_000 + b"\n", bytes(1 << 28)], ids=["deep", "bomb"])
def test_an_index_that_unpacks_to_no_end_is_none(head):
    packed = zlib.compress(head)
    tracemalloc.start()
    assert VideoIndex.from_bytes(packed, Path("a.mp4")) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 27
