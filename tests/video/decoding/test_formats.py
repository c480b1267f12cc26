"""A file is what its content says, and only videos are given to a decoder."""

import av
import pytest

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.video.decoding.formats import READ, demuxer_of
from stvit_video.video.decoding.open import open_video, read_frames
from stvit_video.video.numbered import read_number

BACKENDS = ["auto", "pyav", "decord", "torchcodec"]
NAMES_IT = "give the videos that it names"
OTHERS = {
    "a playlist (m3u8)": (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{near}\n#EXT-X-ENDLIST\n",
        NAMES_IT,
    ),
    "a list of files (ffconcat)": (b"ffconcat version 1.0\nfile {near}\n", NAMES_IT),
    "a playlist (xml)": (
        b'<?xml version="1.0"?>\n<MPD profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"/>',
        NAMES_IT,
    ),
    "the description of a stream (sdp)": (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "record the stream first",
    ),
    "subtitles": (b"1\n00:00:00,000 --> 00:00:09,000\nwords\n", "give a video"),
    "a script": (b"#!/bin/sh\necho\n", "give a video"),
    "text": ("\x1b[31mwörds\x1b[0m\n".encode() * 300, "give a video"),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt ", "give a video"),
    "a RIFF file without pictures (no avi)": (b"RIFF", "give a video"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.txt", "a.ans"])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_video_is_named_with_the_rule_and_the_next_step(
    tmp_path, numbered_video, kind, name, backend
):
    content, step = OTHERS[kind]
    path = tmp_path / name
    path.write_bytes(content.replace(b"{near}", bytes(numbered_video)))
    try:
        with pytest.raises(VideoDecodeError) as caught:
            open_video(path, backend=backend)
    except ConfigError as error:
        pytest.skip(str(error))
    rule = f"only files that hold pictures are read ({READ})"
    assert str(caught.value) == (
        f"{path}: not a video: it is {kind}; {rule}: {step} ({backend}, open)"
    )


@pytest.mark.parametrize("size", [1, 4, 5, 6, 7, 8, 11])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_bytes_of_an_avi_are_an_error(tmp_path, size, backend):
    path = tmp_path / "a.avi"
    path.write_bytes(b"RIFF\x10\0\0\0AVI LIST"[:size])
    try:
        with pytest.raises(VideoDecodeError):
            open_video(path, backend=backend)
    except ConfigError as error:
        pytest.skip(str(error))


X264, MPEG2 = ("libx264", "yuv420p"), ("mpeg2video", "yuv420p")
CONTAINERS = {
    "a.mp4": ("mov", *X264),
    "a.mov": ("mov", *X264),
    "a.3gp": ("mov", *X264),
    "a.mkv": ("matroska", *X264),
    "a.webm": ("matroska", "libvpx", "yuv420p"),
    "a.avi": ("avi", "mpeg4", "yuv420p"),
    "a.flv": ("flv", *X264),
    "a.ts": ("mpegts", *X264),
    "a.m2ts": ("mpegts", *X264),
    "a.mpg": ("mpeg", *MPEG2),
    "a.m2v": ("mpegvideo", *MPEG2),
    "a.h264": ("h264", *X264),
    "a.mjpeg": ("mjpeg", "mjpeg", "yuvj420p"),
    "a.wmv": ("asf", "wmv2", "yuv420p"),
    "a.mxf": ("mxf", *MPEG2),
    "a.gif": ("gif", "gif", "gray"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_is_known_by_its_content_under_any_name(tmp_path, write_numbered, name):
    demuxer, codec, pix_fmt = CONTAINERS[name]
    path = write_numbered(tmp_path / name, 12, codec=codec, pix_fmt=pix_fmt, options={})
    path = path.rename(tmp_path / "list.m3u8")
    assert demuxer_of(path.read_bytes()[:2048]) == demuxer
    pictures = read_frames(path, [0, 7, 11])
    assert [read_number(picture.numpy()) for picture in pictures] == [0, 7, 11]
    container = av.open(str(path), format=demuxer)
    assert container.format.name == demuxer
    container.close()


def test_a_raw_stream_of_hevc_is_none_of_h264():
    assert demuxer_of(b"\0\0\0\1\x40\x01\x0c\x01") == "hevc"
    assert demuxer_of(b"\0\0\1\x46\x01\x50") == "hevc"
    assert demuxer_of(b"\0\0\1\x67\x64\x00") == "h264"


def test_a_transport_stream_may_start_inside_a_packet():
    packet = b"\x47" + bytes(187)
    assert demuxer_of((bytes(100) + packet * 20)[:2048]) == "mpegts"
    assert demuxer_of((b"words " * 20 + packet * 4 + bytes(2000))[:2048]) == ""


@pytest.mark.parametrize("mark", [b"<MPD ", b"<CompositionPlaylist ", b"\nc=IN IP4 127.0.0.1"])
def test_the_beginning_of_a_video_hides_no_playlist(mark):
    """FFmpeg looks for these in all that comes before the first zero byte."""
    assert demuxer_of(b"\x7f\x7f\x7f\x7fmdat" + mark) == ""
    assert demuxer_of(b"\x7f\x7f\x7f\x7fmdat\0" + mark) == "mov"
