"""A path is a file, whatever it looks like: nothing else is opened, and nothing is asked for."""

import shutil
import socket
import struct
from base64 import b64encode
from pathlib import Path

import av
import pytest

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.video.decoding.indexing import index_video
from stvit_video.video.decoding.open import open_video, read_frames
from stvit_video.video.decoding.stream import open_local
from stvit_video.video.numbered import numbered_picture, read_number, write_pictures

BACKENDS = ["auto", "pyav", "decord", "torchcodec"]
NAMES = [
    "concat:near.mp4",
    "subfile,,start,0,end,0,,:near.mp4",
    "cache:near.mp4",
    "async:near.mp4",
    "crypto:near.mp4",
    "data:near.mp4",
    "file:near.mp4",
    "fd:",
    "pipe:0",
    "-",
    "im_%03d.png",
    "im_%*.jpg",
    "%2e.mp4",
    "a?b#c.mp4",
    "list.m3u8",
    "list.txt",
    "[a].mp4",
    " a.mp4",
]


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def listener():
    """A socket of this machine that must hear from nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture
def far_video(tmp_path, write_numbered):
    """Pictures 30 and up; `near.mp4` and the numbered pictures beside it show 0 and up."""
    write_numbered(tmp_path / "near.mp4", 12)
    for number in range(3):
        picture = numbered_picture(number, width=96, height=64)
        write_pictures(tmp_path / f"im_00{number}.png", [picture], codec="png", pix_fmt="rgb24")
    pictures = (numbered_picture(30 + i, width=96, height=64) for i in range(12))
    write_pictures(tmp_path / "far.mp4", pictures)
    return tmp_path / "far.mp4"


def _numbers(name, backend):
    try:
        return [read_number(p.numpy()) for p in read_frames(name, [0, 7, 11], backend=backend)]
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_name_that_looks_like_an_address_is_that_of_a_file(far_video, listener, backend):
    port = listener.getsockname()[1]
    far_video.with_name("http:").mkdir()
    names = [*NAMES, f"http:/127.0.0.1:{port}?a.mp4", f"tcp:127.0.0.1:{port}"]
    for name in names:
        shutil.copy(far_video, name)
    assert [name for name in names if _numbers(name, backend) != [30, 37, 41]] == []


@pytest.mark.parametrize("name", ["cache:new.mp4", "file:new.mp4", "crypto:new.mkv"])
def test_pictures_are_written_to_the_file_of_the_name(tmp_path, write_numbered, name):
    write_numbered(Path(name), 12)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert _numbers(name, "pyav") == [0, 7, 11]


def test_a_demuxer_that_opens_others_is_kept_to_files(far_video):
    """FFmpeg lets a local list take `data:` too, unless told otherwise."""
    path = far_video.with_name("list.txt")
    content = b64encode(far_video.read_bytes()).decode()
    path.write_text(f"ffconcat version 1.0\nfile data:video/mp4;base64,{content}\n")
    av.open(str(path), format="concat", options={"safe": "0"}).close()
    with pytest.raises(av.error.FFmpegError):
        open_local(path, "concat", safe="0")


def _with_boxes(data, path, body):
    """Replace the body of the box at a path of kinds."""
    start, new = 0, b""
    while start < len(data):
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        inside = data[start + 8 : start + size]
        if kind == path[0]:
            inside = _with_boxes(inside, path[1:], body) if path[1:] else body
        new += struct.pack(">I4s", 8 + len(inside), kind) + inside
        start += size
    return new


def test_a_video_whose_pictures_lie_in_another_file_is_not_read_from_there(far_video):
    """Its own are zeros; a QuickTime alias names `far.mp4`, which FFmpeg follows if it is told."""
    alias = bytes(10) + bytes(28) + bytes(12) + b"\7far.mp4".ljust(64, b"\0") + bytes(16)
    alias += struct.pack(">2H16x", 1, 1) + struct.pack(">2H", 2, 8) + b"/far.mp4" + b"\xff\xff\0\0"
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    place = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    data = _with_boxes(far_video.read_bytes(), place, struct.pack(">2I", 0, 1) + entry)
    start = data.index(b"mdat") + 4
    path = far_video.with_name("a.mp4")
    path.write_bytes(_with_boxes(data, (b"mdat",), bytes(data.index(b"moov") - 4 - start)))
    with av.open(str(path), options={"enable_drefs": "1"}) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert read_number(picture) == 30
    for backend in ("pyav", "decord"):
        with pytest.raises(VideoDecodeError, match=r"a\.mp4: no frames \("):
            read_frames(path, [0], backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_index_of_a_file_of_another_size_is_not_believed(far_video, write_numbered, backend):
    index = index_video(far_video, backend="pyav")
    path = write_numbered(far_video.with_name("longer.mp4"), 20)
    try:
        with open_video(path, backend=backend, index=index) as decoder:
            assert (decoder.num_frames, decoder.info.duration_seconds) == (20, 0.8)
            assert [read_number(p.numpy()) for p in decoder.frames([0, 19])] == [0, 19]
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_video_that_opens_by_an_index_is_checked_as_well(far_video, backend):
    """A list of the same size takes the place of a video of which all is known."""
    index = index_video(far_video, backend="pyav")
    text = b"ffconcat version 1.0\nfile near.mp4\n"
    far_video.write_bytes(text + b"#" * (index.num_bytes - len(text)))
    try:
        with pytest.raises(VideoDecodeError, match="it is a list of files"):
            open_video(far_video, backend=backend, index=index)
    except ConfigError as error:
        pytest.skip(str(error))
