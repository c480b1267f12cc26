"""Which of several streams of pictures is the video: the same one for every backend."""

import av
import pytest
from av.stream import Disposition

from stvit_video.datasets.upkeep.scan import scan_video
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import numbered_picture, read_number

BACKENDS = ["auto", "pyav", "decord", "torchcodec"]
STILL = ("mjpeg", 1, 48, 32)
SMALL = ("libx264", 30, 96, 64)
LARGE = ("libx264", 30, 192, 128)


def _write(path, *streams, default=None):
    """Write streams (codec, pictures, width, height); the one at place n counts from 100 n."""
    with av.open(str(path), "w") as container:
        packets = []
        for place, (codec, count, width, height) in enumerate(streams):
            options = {"g": "12", "x264-params": "log=-1"} if codec == "libx264" else {}
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if default is not None:
                stream.disposition = Disposition.default if place == default else Disposition(0)
            for number in range(count):
                picture = numbered_picture(100 * place + number, width=width, height=height)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def _open(path, backend):
    try:
        return open_video(path, backend=backend)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("streams", "place"),
    [((STILL, SMALL), 1), ((SMALL, STILL), 0), ((STILL, STILL, LARGE), 2)],
)
def test_a_single_picture_beside_a_video_is_not_the_video(
    tmp_path, backend, suffix, streams, place
):
    path = _write(tmp_path / f"a{suffix}", *streams)
    with _open(path, backend) as decoder:
        info = decoder.info
        assert (info.num_frames, info.codec) == (30, "h264")
        assert (info.width, info.height) == streams[place][2:]
        assert info.duration_seconds == pytest.approx(1.2)
        numbers = [read_number(p) for p in decoder.frames([29, 0, 17]).numpy()]
    assert numbers == [100 * place + i for i in (29, 0, 17)]


@pytest.mark.parametrize("backend", ["auto", "pyav", "torchcodec"])
@pytest.mark.parametrize("default", [0, 1])
def test_the_default_stream_is_the_video(tmp_path, backend, default):
    path = _write(tmp_path / "a.mkv", SMALL, LARGE, default=default)
    with _open(path, backend) as decoder:
        assert (decoder.info.width, decoder.info.height) == (SMALL, LARGE)[default][2:]
        assert read_number(decoder.frames([7])[0].numpy()) == 100 * default + 7


def _number_or_error(path, backend, place):
    try:
        with open_video(path, backend=backend) as decoder:
            return read_number(decoder.frames([place])[0].numpy())
    except VideoDecodeError as error:
        return str(error)


@pytest.mark.parametrize("default", [0, 1])
def test_decord_reads_the_same_stream_or_none(tmp_path, default):
    path = _write(tmp_path / "a.mp4", SMALL, SMALL, default=default)
    refusal = f"it does not read stream {default}; use auto or pyav (decord, open)"
    assert _number_or_error(path, "decord", 7) in (
        100 * default + 7,
        f"{path}: wrong backend: {refusal}",
    )


def test_decord_refuses_a_stream_of_another_size(tmp_path):
    path = _write(tmp_path / "a.mp4", SMALL, LARGE, default=0)
    with pytest.raises(VideoDecodeError) as caught:
        open_video(path, backend="decord")
    assert str(caught.value) == (
        f"{path}: wrong backend: it gives pictures of 192x128; use auto or pyav (decord, open)"
    )


def test_a_scan_says_which_stream_it_has_read(tmp_path):
    result = scan_video(_write(tmp_path / "a.mp4", STILL, SMALL))
    assert (result.verdict, result.num_frames, result.width, result.backend) == (
        "ok",
        30,
        96,
        "pyav",
    )
    assert result.detail == "video streams: 2, of which stream 1 is read"


def test_a_lone_picture_is_a_video_of_one_frame(tmp_path):
    path = _write(tmp_path / "a.mp4", STILL)
    with open_video(path) as decoder:
        assert decoder.num_frames == 1
        assert read_number(decoder.frames([0])[0].numpy()) == 0
