"""Which token owns each patch of a video, for every model; and whose window a frame shows."""

import dataclasses

import numpy as np
import pytest
import torch

from stvit_video.datasets.windows import WindowLength
from stvit_video.errors import ConfigError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.registry import VARIANTS, create_model, list_models
from stvit_video.settings.data import DataConfig
from stvit_video.video.decoding.open import open_video, read_frames
from stvit_video.video.pixels.crops import preprocess
from stvit_video.video.sampling.time_windows import TimeWindow
from stvit_video.visualize import reading
from stvit_video.visualize.reading import check_gathers, read_video, share_out

IN_FRAMES = ("space", "_fe_", "videoprism", "siglip2", "dinov3", "pe_core")


@pytest.fixture
def small(monkeypatch):
    """Make a model of the registry in small: 4 x 6 x 6 patches, of images 1 x 6 x 6."""

    def make(name, **options):
        torch.manual_seed(0)
        row = VARIANTS[name]
        is_swin = "swin" in name
        tubelet = row.tubelet_frames if is_swin else row.tubelet_size[0]
        sizes = {"dim": 24, "depth": 4, "num_heads": 2, "tubelet_size": (tubelet, 8, 8)}
        sizes |= {"temporal_depth": 1, "reader_width": 24, "reader_heads": 2}
        if is_swin:
            sizes = {"dim": 8, "depths": (1, 1, 6, 1), "num_heads": (1, 2, 2, 4)}
            sizes |= {"window_size": (min(2, row.window_size[0]), 3, 3)}
        frames = 1 if row.preprocessing.num_frames == 1 else 4 * tubelet
        like = {"num_frames": frames, "frame_stride": 1, "image_size": 96 if is_swin else 48}
        row = dataclasses.replace(
            row,
            preprocessing=dataclasses.replace(row.preprocessing, **like),
            **{key: value for key, value in sizes.items() if hasattr(row, key)},
        )
        monkeypatch.setitem(VARIANTS, name, row)
        return create_model(name, num_classes=5, **options).eval()

    return make


def read(model, path, **options):
    options = {"length": WindowLength(), "max_duration": 0.4, "top_k": 3} | options
    predictor = Predictor(model, device="cpu", data=options.pop("data", None))
    with open_video(path) as decoder:
        return read_video(decoder, predictor, **options)


def usual_setting(name):
    """A grid of semantic tokens that the network takes."""
    if VARIANTS[name].preprocessing.num_frames == 1:
        return "1x4x4@1"
    if "swin" in name:
        return "4x4x4@1,scope=frame"
    return "4x2x3@1" + (",scope=frame" if any(word in name for word in IN_FRAMES) else "")


@pytest.mark.parametrize("name", list_models())
def test_every_model_gathers_every_patch_of_its_grid(name, small, numbered_video):
    setting = usual_setting(name)
    model = small(name, semantic=setting)
    num_frames = model.preprocessing.num_frames
    video = read(model, numbered_video, max_duration=num_frames / 25)
    assert video.num_tokens == np.prod([int(n) for n in setting.split("@")[0].split("x")])
    assert video.tubes.shape == (1 if num_frames == 1 else 4, 6, 6)
    assert len(video.windows) == 1
    assert len(video.times) == num_frames
    assert video.tubes.min() >= 0, "every patch is some token's"
    assert (video.strength > 0).all()
    assert video.strength.max() == 1
    rows = (video.lens.crop[2] - video.lens.crop[0]) / video.lens.cell[0]
    columns = (video.lens.crop[3] - video.lens.crop[1]) / video.lens.cell[1]
    assert (rows, columns) == pytest.approx((6, 6)), "the grid is all that the model saw"


@pytest.mark.parametrize(
    ("name", "options", "num_tokens"),
    [
        ("demo_tiny", {"semantic": "7@1"}, 7),  # far centres, whole clip
        ("demo_tiny", {"semantic": "5@1,layers=0"}, 5),  # their plain means
        ("demo_tiny", {"semantic": "2x2x2@1,scope=tube"}, 8),
        ("demo_tiny", {"semantic": "4x2x2@1,scope=frame", "class_token": True}, 16),
        ("demo_tiny", {"semantic": "4x2x3@1-4"}, 24),  # recovered
        ("timesformer_base_patch16_224", {"semantic": "4x3x2@1", "class_token": True}, 24),
        ("video_swin_tiny_patch2x4x4_224", {"semantic": "2x4x4@1,scope=tube"}, 32),
        ("demo_tiny", {"reduction": "tome:r=20"}, 144 - 4 * 20),
        ("demo_tiny", {"reduction": "dpcknn:keep=9,block=2"}, 9),
    ],
)
def test_each_patch_belongs_to_one_token_of_its_window(
    name, options, num_tokens, small, numbered_video
):
    model = small(name, **options)
    video = read(model, numbered_video, max_duration=0.3)
    assert video.num_tokens == num_tokens
    assert video.tubes.min() >= 0
    assert len(video.colours) == video.tubes.max() + 1
    assert len(np.unique(video.tubes[0])) <= num_tokens


def test_the_owners_are_those_of_the_assignments_of_the_clip(small, numbered_video):
    model = small("demo_tiny", semantic="4x2x3@1")
    video = read(model, numbered_video, max_duration=0.32)
    clip = preprocess(read_frames(numbered_video, range(8)), model.preprocessing)
    with torch.inference_mode():
        weights = model.forward_assignments(clip)[0]
        scores = model(clip)[0].softmax(dim=0)
    owner = weights.argmax(dim=0).numpy()
    pairs = np.unique(np.stack([owner, video.tubes], -1).reshape(-1, 2), axis=0)
    assert len(pairs) == len(np.unique(owner)) == len(np.unique(video.tubes)) > 3, "one to one"
    assert video.step.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert video.windows[0].topk[0]["score"] == pytest.approx(float(scores.max()), abs=1e-5)


def test_windows_answer_as_the_timeline_does(small, numbered_video):
    model = small("demo_tiny", semantic="4x2x3@1")
    video = read(model, numbered_video, length=WindowLength(0.6, 0.3), max_duration=99.0)
    predictor = Predictor(model, device="cpu")
    timeline = predictor.timeline(numbered_video, window=0.6, stride=0.3, top_k=3)
    assert len(video.windows) == len(timeline.windows) == 7
    for mine, theirs in zip(video.windows, timeline.windows, strict=True):
        assert mine.start_seconds == pytest.approx(theirs.start_seconds)
        assert [entry["index"] for entry in mine.topk] == [e["index"] for e in theirs.topk]
        assert mine.topk[0]["score"] == pytest.approx(theirs.topk[0]["score"], abs=1e-4)


def test_clips_of_any_length_are_spread_over_all_that_is_drawn(small, numbered_video):
    model = small("demo_tiny", semantic="4x2x3@1")
    data = DataConfig(sampling="uniform")
    video = read(model, numbered_video, data=data, max_duration=1.2)
    assert [(w.start_seconds, w.end_seconds) for w in video.windows] == [(0, 1.2)]
    assert np.bincount(video.step).tolist() == pytest.approx([7.5] * 4, abs=2)


def test_of_an_image_model_every_frame_shows_a_window_of_its_own(small, numbered_video):
    video = read(small("vit_tiny_patch16_224", semantic="1x4x4@1"), numbered_video)
    assert video.window.tolist() == video.step.tolist() == list(range(10))


def test_a_frame_shows_the_window_whose_middle_is_nearest_and_its_nearest_step():
    times = np.arange(10) / 10 + 0.05
    windows = [TimeWindow(0, 0.4), TimeWindow(0.3, 0.7), TimeWindow(0.6, 1.0)]
    clips = np.array([[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])
    window, step = share_out(times, windows, clips, num_steps=2)
    assert window.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert step.tolist() == [0, 0, 1, 1, 0, 1, 1, 0, 1, 1]
    sparse = np.array([[0, 8]])
    assert share_out(times, windows[:1], sparse, num_steps=2)[1].tolist() == [0] * 5 + [1] * 5


def test_a_dense_model_is_refused_with_what_to_do(small):
    with pytest.raises(ConfigError) as caught:
        check_gathers(small("demo_tiny"))
    assert str(caught.value) == (
        "demo_tiny is dense: no token gathers patches; train with model.semantic or"
        " model.reduction, or `stvit-video convert` the weights with --semantic"
    )
    check_gathers(small("demo_tiny", reduction="rlt:threshold=0.1"))


def test_too_many_windows_are_refused_before_any_is_read(small, numbered_video):
    with pytest.raises(ConfigError) as caught:
        read(small("demo_tiny", semantic="7@1"), numbered_video, length=WindowLength(None, 1e-4))
    assert str(caught.value) == (
        "stride (0.0001 s) makes 4000 windows; at most 2000 are drawn: take a longer stride or a"
        " smaller max_duration"
    )


def test_more_tokens_than_the_page_can_number_are_refused(small, numbered_video, monkeypatch):
    monkeypatch.setattr(reading, "MOST_TUBES", 3)
    with pytest.raises(ConfigError) as caught:
        read(small("demo_tiny", semantic="4x2x3@1"), numbered_video, max_duration=0.32)
    assert str(caught.value).startswith("demo_tiny makes 7 tokens of this video; at most 3 are")
