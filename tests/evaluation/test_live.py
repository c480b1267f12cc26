"""Streams: real encoded pictures over a socket, looped, at their own pace."""

import json
import socket
import threading
import time
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from stvit_video.cli import main
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.evaluation.live import predict_live
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import create_model
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.live import LiveFrames, LivePicture, LiveVideo
from stvit_video.video.numbered import numbered_picture, read_number

FPS, LOOP = 20, 30


class FirstNumber(VideoModel):
    """Keeps the numbers that its clips show."""

    labels = ("a", "b")
    name = "numbers"

    def __init__(self, *, seconds=0.0):
        torch.nn.Module.__init__(self)
        self.preprocessing = Preprocessing(
            num_frames=3, frame_stride=2, image_size=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.seconds = seconds
        self.seen = []

    def forward(self, clip):
        time.sleep(self.seconds)
        pictures = (255 * clip[0]).round().byte().permute(1, 2, 3, 0).numpy()
        self.seen.append([read_number(picture) for picture in pictures])
        return torch.zeros(len(clip), 2)

    def token_counts(self, clip_size=None):
        return {"input": 3, "semantic": None}


@pytest.fixture
def looped_stream():
    """Serve numbers 0 to 29 again and again as H.264 in MPEG-TS, at 20 a second; its address."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve():
        connection, _ = server.accept()
        with connection, connection.makefile("wb") as file:
            container = av.open(file, "w", format="mpegts")
            stream = container.add_stream("libx264", rate=FPS)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            stream.options = {"tune": "zerolatency", "g": "10", "x264-params": "log=-1"}
            begin = time.monotonic()
            try:
                for number in range(10_000):
                    if stop.wait(max(begin + number / FPS - time.monotonic(), 0)):
                        return
                    picture = numbered_picture(number % LOOP, width=64, height=64)
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                    frame.pts = number
                    container.mux(stream.encode(frame))
                    file.flush()
            except (OSError, ValueError):  # nobody reads any more
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    stop.set()
    server.close()
    thread.join(timeout=5)


def answers(source, model, *, num, window=1.0, stride=0.5):
    predictor = Predictor(model, views=ViewConfig(), device="cpu")
    with LiveVideo(source, keep_seconds=10) as live:
        found = []
        for answer in predict_live(predictor, live, window=window, stride=stride):
            found.append(answer)
            if len(found) == num:
                return found, live
    return found, live


def test_windows_of_a_looped_stream(looped_stream):
    model = FirstNumber()
    found, live = answers(looped_stream, model, num=4)
    times = [(a.start_seconds, a.end_seconds) for a in found]
    assert times == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5)]
    assert [a.num_pictures for a in found] == [20] * 4
    assert found[-1].num_dropped == live.num_damaged == 0
    # a clip of 3 pictures, every second one, from the middle of 20: numbers go round at 30
    starts = [seen[0] for seen in model.seen]
    assert all(seen == [(seen[0] + 2 * i) % LOOP for i in range(3)] for seen in model.seen)
    assert [(b - a) % LOOP for a, b in pairwise(starts)] == [10, 10, 10]
    assert all(0 < a.latency_milliseconds < 5000 for a in found)


def test_a_slow_model_leaves_windows_out_and_counts_them(looped_stream):
    found, _ = answers(looped_stream, FirstNumber(seconds=0.55), num=3, window=0.4, stride=0.2)
    numbers = [round(a.start_seconds / 0.2) for a in found]
    assert numbers[0] == 0
    skipped = [b - a - 1 for a, b in pairwise(numbers)]
    assert all(left_out >= 1 for left_out in skipped)
    assert [a.num_dropped for a in found] == [0, skipped[0], sum(skipped)]


def test_a_file_is_a_stream_at_its_own_pace(write_numbered, tmp_path):
    video = write_numbered(tmp_path / "square.mp4", 60, width=64)
    begin = time.monotonic()
    model = FirstNumber()
    found, live = answers(str(video), model, num=99, window=0.8, stride=0.4)
    assert time.monotonic() - begin > 2.2  # 60 pictures at 25 a second
    assert live.num_pictures == 60
    assert [a.start_seconds for a in found] == pytest.approx([0, 0.4, 0.8, 1.2])
    assert model.seen[0] == [7, 9, 11]  # the middle of 20 pictures


def test_the_command_tells_each_window_and_all_of_them(numbered_video, tmp_path, capsys):
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=2, num_frames=2, image_size=32)
    write_checkpoint(model, tmp_path / "model", labels=("only <this>", "that"))
    lines = tmp_path / "out.jsonl"
    words = [str(numbered_video), "--checkpoint", str(tmp_path / "model"), "--window", "600ms"]
    words += ["--stride", "600ms", "--duration", "1.2s", "--jsonl", str(lines)]
    assert main(["stream", *words, "--device", "cpu"]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("00:00:00-00:00:00  ")
    assert second.startswith("00:00:00-00:00:01  ")
    assert last.startswith(f"{numbered_video}: 2 windows, 0 dropped; ")
    assert "ms in the middle" in last
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(r["start_s"], r["end_s"], r["pictures"]) for r in records] == [
        (0.0, 0.6, 15),
        (0.6, 1.2, 15),
    ]
    assert {entry["label"] for entry in records[0]["topk"]} == {"only <this>", "that"}


def test_what_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(ConfigError) as caught:
        LiveVideo("file:///etc/passwd", keep_seconds=1)
    assert str(caught.value) == (
        "source (file:///etc/passwd) must be an address of http, https, rtsp, rtsps, rtmp, rtmps,"
        " srt, tcp, udp, rtp, a device or a file"
    )
    with pytest.raises(VideoDecodeError, match=r"gone\.mp4: missing"):
        LiveVideo(str(tmp_path / "gone.mp4"), keep_seconds=1)
    with pytest.raises(VideoDecodeError, match=r"tcp:.*Connection refused"):
        LiveVideo("tcp://127.0.0.1:9", keep_seconds=1)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(VideoDecodeError, match=r"list\.m3u8: not a video"):
        LiveVideo(str(playlist), keep_seconds=1)


def test_pictures_of_other_sizes_are_brought_to_that_of_the_first():
    def picture(width, grey):
        pixels = np.full((16, width, 3), grey, np.uint8)
        return LivePicture(0.0, 0.0, av.VideoFrame.from_ndarray(pixels, format="rgb24"))

    frames = LiveFrames([picture(32, 10), picture(48, 200)]).pick(torch.tensor([1, 0, 1]))
    assert frames.shape == (3, 16, 32, 3)
    assert frames[:, 8, 8, 0].tolist() == [200, 10, 200]
