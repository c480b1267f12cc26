"""Windows of long videos: which frames they read, and what they are read as."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from stvit_video.datasets.windows import WindowLength, chunks_of, plan_windows
from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.timeline import Timeline, WindowPrediction
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import create_model
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.decoding.open import open_video, read_frames
from stvit_video.video.numbered import read_number, write_pictures
from stvit_video.video.sampling.scheme import SamplingScheme
from stvit_video.video.sampling.time_windows import TimeWindow, frames_within, spread_windows

VIEWS = ViewConfig(num_clips=2, num_crops=3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model(
        "demo_tiny", num_classes=3, num_frames=4, image_size=32, semantic="2x2x2@2"
    ).eval()


class SeenFrames(VideoModel):
    """Its first logit is the grey level of the first frame, its second that of the last."""

    labels = ("first", "last")
    name = "seen"

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.preprocessing = Preprocessing(
            num_frames=3, frame_stride=2, image_size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, clip):
        greys = 255 * clip.mean(dim=(1, 3, 4))
        return torch.stack([greys[:, 0], greys[:, -1]], dim=1)

    def token_counts(self, clip_size=None):
        return {"input": 3, "semantic": None}


def seen(video, **how):
    """The numbers of the first and last frame of each window of a counting video."""
    views = ViewConfig(combine="mean_logit")
    timeline = Predictor(SeenFrames(), views=views, device="cpu").timeline(video, **how)
    return (timeline.scores / 10).round().int().tolist()


def test_windows_lie_every_stride_and_the_last_ends_with_the_video():
    assert list(spread_windows(5.0, window=2.0, stride=1.0)) == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert list(spread_windows(5.5, window=2.0, stride=2.0)) == [(0, 2), (2, 4), (3.5, 5.5)]
    assert list(spread_windows(1.5, window=2.0, stride=1.0)) == [(0, 1.5)]
    assert len(list(spread_windows(0.3, window=0.1, stride=0.1))) == 3  # 0.1 + 0.1 + 0.1 > 0.3


def test_frames_of_a_window_begin_in_it_or_are_shown_at_its_start():
    times = np.array([0.0, 0.1, 0.2, 0.3, 2.0])
    assert frames_within(times, TimeWindow(0.1, 0.3)) == range(1, 3)
    assert frames_within(times, TimeWindow(0.5, 1.0)) == range(3, 4)
    assert frames_within(times, TimeWindow(1.9, 2.5)) == range(4, 5)


def test_each_window_reads_its_own_frames(counting_video):
    # 20 frames at 10 a second; a clip of a window of 10 frames is centred: 2 4 6
    assert seen(counting_video, window=1.0, stride=0.5) == [[2, 6], [7, 11], [12, 16]]
    # by default as long as a clip, which is 5 frames, one behind the other
    assert seen(counting_video) == [[0, 4], [5, 9], [10, 14], [15, 19]]
    assert seen(counting_video, stride=1.0) == [[0, 4], [10, 14], [15, 19]]


@pytest.mark.parametrize("backend", ["auto", "decord", "torchcodec"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_window_is_what_its_frames_are_alone(model, numbered_video, backend, num_workers):
    data = DataConfig(backend=backend)
    predictor = Predictor(model, data=data, views=VIEWS, device="cpu")
    timeline = predictor.timeline(
        numbered_video, window=0.8, stride=0.3, batch_size=7, num_workers=num_workers
    )
    assert (timeline.fps, timeline.num_frames, timeline.window_seconds) == (25, 60, 0.8)
    assert len(timeline.windows) == 7
    frames = read_frames(numbered_video, range(60))
    for window, scores in zip(timeline.windows, timeline.scores, strict=True):
        first, stop = (math.ceil(25 * t - 1e-6) for t in (window.start_seconds, window.end_seconds))
        alone = predictor.predict(frames[first:stop], fps=25, top_k=3)
        assert [entry["index"] for entry in alone.topk] == [e["index"] for e in window.topk]
        expected = {entry["index"]: entry["score"] for entry in alone.topk}
        assert scores.tolist() == pytest.approx([expected[k] for k in range(3)], abs=2e-6)


def test_frames_in_memory_have_the_timeline_of_their_file(model, numbered_video):
    predictor = Predictor(model, views=VIEWS, device="cpu")
    of_file = predictor.timeline(numbered_video, window=0.5)
    of_frames = predictor.timeline(read_frames(numbered_video, range(60)), window=0.5, fps=25)
    assert torch.equal(of_file.scores, of_frames.scores)
    assert (of_frames.video, of_frames.windows) == ("frames", of_file.windows)
    with pytest.raises(ConfigError, match="frames need fps: windows are counted in seconds"):
        predictor.timeline(read_frames(numbered_video, range(60)))


def test_windows_follow_the_clock_where_frames_do_not_come_evenly(tmp_path):
    path = tmp_path / "uneven.mkv"
    greys = (np.full((32, 48, 3), 10 * i, np.uint8) for i in range(20))
    # frames 0 to 9 a tenth of a second apart, then 10 to 19 half a second
    times = [*range(0, 1000, 100), *range(1000, 6000, 500)]
    write_pictures(path, greys, codec="ffv1", pix_fmt="bgr0", times=times)
    with open_video(path) as decoder:
        assert decoder.times() == pytest.approx(np.array(times) / 1000, abs=2e-3)
    assert seen(path, window=1.0, stride=1.0)[:3] == [[2, 6], [10, 10], [12, 12]]


def test_chunks_share_frames_and_begin_where_decoding_may(numbered_video):
    sample = SamplingScheme(num_frames=4, frame_stride=2)
    video = plan_windows(numbered_video, sample, WindowLength(0.4, 0.04))
    assert video.entries.tolist() == [0, 0, 12, 24, 36, 48]
    chunks = list(chunks_of(video, most_clips=16))
    joined = torch.cat([torch.from_numpy(chunk.frames)[chunk.rows] for chunk in chunks])
    assert torch.equal(joined, video.frames)
    assert [chunk.windows.start for chunk in chunks[1:]] == [11, 23, 35]  # clips begin one later
    assert all(len(chunk.frames) < 4 * len(chunk.windows) for chunk in chunks)


def test_a_chunk_decodes_no_frame_twice(numbered_video, monkeypatch):
    with open_video(numbered_video) as decoder:
        parts = list(decoder.parts([3, 4, 9, 30, 31], 2))
        assert [len(part) for part in parts] == [2, 2, 1]
        assert [read_number(frame.numpy()) for part in parts for frame in part] == [3, 4, 9, 30, 31]
        planes = list(decoder.parts([3, 30], 2, as_planes=True))
        assert [len(part.luma) for part in planes] == [2]


def test_a_video_that_is_cut_is_told_and_the_rest_goes_on(model, numbered_video, tmp_path):
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(numbered_video.read_bytes())
    content[2000:6000] = bytes(4000)
    damaged.write_bytes(content)
    predictor = Predictor(model, device="cpu")
    errors = []
    videos = [tmp_path / "missing.mp4", damaged, numbered_video]
    found = list(predictor.timelines(videos, window=0.4, num_workers=0, on_error=errors.append))
    assert [timeline.video for timeline in found] == [str(numbered_video)]
    assert [(e.path.name, e.reason) for e in errors] == [
        ("missing.mp4", "missing"),
        ("damaged.mp4", "corrupt"),
    ]
    with pytest.raises(VideoDecodeError, match=r"missing\.mp4: missing"):
        next(predictor.timelines(videos, window=0.4, num_workers=0))


def test_a_video_that_goes_away_while_it_is_read_is_told_once(
    model, numbered_video, tmp_path, monkeypatch
):
    monkeypatch.setattr("stvit_video.datasets.windows._MOST_FRAMES", 8)
    path = tmp_path / "going.mp4"
    path.write_bytes(numbered_video.read_bytes())
    predictor, errors = Predictor(model, device="cpu"), []
    found = predictor.timelines(
        [path, numbered_video],
        window=0.2,
        num_workers=0,
        on_error=errors.append,
        on_progress=lambda *_: path.unlink(missing_ok=True),
    )
    assert [(timeline.video, len(timeline.windows)) for timeline in found] == [
        (str(numbered_video), 12)
    ]
    assert [(error.path, error.reason) for error in errors] == [(path, "missing")]


def test_clips_without_a_length_need_a_window(model, numbered_video):
    predictor = Predictor(model, data=DataConfig(sampling="segments"), device="cpu")
    with pytest.raises(ConfigError) as caught:
        predictor.timeline(numbered_video)
    assert str(caught.value) == (
        "window must be given, such as 2s: clips of this model (sampling segments) have no length"
        " of their own"
    )
    assert len(predictor.timeline(numbered_video, window=1.2).windows) == 2


def test_progress_counts_windows(model, numbered_video):
    told = []
    predictor = Predictor(model, device="cpu")
    (found,) = predictor.timelines(
        [numbered_video], window=0.2, num_workers=0, on_progress=lambda *n: told.append(n)
    )
    assert told[-1] == (len(found.windows), 12)


def timeline_of(labels, *, window, stride):
    """A timeline whose windows have these best classes, each with the score 0.5."""
    return Timeline(
        video="v.mp4",
        model="m",
        duration_seconds=(len(labels) - 1) * stride + window,
        fps=10.0,
        num_frames=100,
        views=ViewConfig(),
        window_seconds=window,
        stride_seconds=stride,
        windows=tuple(
            WindowPrediction(
                start_seconds=i * stride,
                end_seconds=i * stride + window,
                topk=({"rank": 1, "index": ord(label), "label": label, "score": 0.5},),
            )
            for i, label in enumerate(labels)
        ),
        scores=torch.zeros(len(labels), 2),
        num_patch_tokens=1,
        num_semantic_tokens=None,
        decode_milliseconds=0.0,
        model_milliseconds=0.0,
    )


@pytest.mark.parametrize(
    ("window", "stride", "expected"),
    [
        (1.0, 1.0, [(0, 2, "a"), (2, 3, "b"), (3, 4, "a")]),
        (2.0, 1.0, [(0, 2.5, "a"), (2.5, 3.5, "b"), (3.5, 5, "a")]),  # half way between middles
        (1.0, 2.0, [(0, 1, "a"), (2, 3, "a"), (4, 5, "b"), (6, 7, "a")]),  # gaps belong to none
    ],
)
def test_segments_part_the_time(window, stride, expected):
    timeline = timeline_of("aaba", window=window, stride=stride)
    parts = timeline.segments()
    assert [(p.start_seconds, p.end_seconds, p.label) for p in parts] == expected
    assert {p.score for p in parts} == {0.5}
    assert timeline.cues()[0][2] == "a (0.50)"
    record = timeline.as_json()
    assert record["segments"][0]["label"] == "a"
    assert len(record["windows"]) == 4


def test_features_are_those_of_the_network(model, numbered_video):
    predictor = Predictor(model, views=VIEWS, device="cpu")
    plain = predictor.predict(numbered_video)
    assert plain.features is None
    shapes = {"pooled": (6, 96), "tokens": (6, 8, 96), "grid": (6, 96, 2, 2, 2)}
    found = {kind: predictor.predict(numbered_video, features=kind) for kind in shapes}
    assert {kind: tuple(p.features.shape) for kind, p in found.items()} == shapes
    assert all(prediction.topk == plain.topk for prediction in found.values())
    grid, tokens = found["grid"].features, found["tokens"].features
    assert torch.equal(grid.flatten(2).mT, tokens)
    logits = model.head(found["pooled"].features)
    expected = dict(enumerate(logits.softmax(-1).mean(0).tolist()))
    assert {e["index"]: e["score"] for e in plain.topk} == pytest.approx(expected, abs=1e-5)


def test_features_that_cannot_be_had(model, numbered_video):
    far = create_model("demo_tiny", num_classes=3, num_frames=4, image_size=32, semantic="8@2")
    with pytest.raises(ConfigError) as caught:
        Predictor(far, device="cpu").predict(numbered_video, features="grid")
    assert str(caught.value) == (
        "features (grid) cannot be had of demo_tiny: its tokens have no places on a grid any more;"
        " take tokens, or a setting with a recovery such as 64@4-12"
    )
    joined = Predictor(model, views=replace(VIEWS, join_clips=True), device="cpu")
    with pytest.raises(ConfigError, match="features are of single clips; leave out join_clips"):
        joined.predict(numbered_video, features="pooled")


def test_videos_in_memory_may_be_unequal(model, numbered_video):
    predictor = Predictor(model, views=VIEWS, device="cpu")
    frames = read_frames(numbered_video, range(60))
    videos = [frames, frames[:9, :40], frames[20:50, :, 10:].numpy()]
    found = list(predictor.predict_frames(videos, fps=25, batch_size=12))
    assert [p.num_frames for p in found] == [60, 9, 30]
    for prediction, video in zip(found, videos, strict=True):
        alone = predictor.predict(video, fps=25)
        for one, other in zip(prediction.topk, alone.topk, strict=True):
            assert (one["index"], one["score"]) == (
                other["index"],
                pytest.approx(other["score"], abs=2e-6),
            )


def test_frames_are_brought_to_the_short_side_of_the_model(numbered_video):
    model = create_model("demo_tiny", num_classes=3, num_frames=4, image_size=32).eval()
    model.preprocessing = replace(model.preprocessing, short_side=1.5)
    predictor = Predictor(model, device="cpu")
    frames = read_frames(numbered_video, range(60))
    assert predictor.predict(frames, fps=25).topk == predictor.predict(numbered_video).topk
