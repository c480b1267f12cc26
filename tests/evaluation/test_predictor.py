import json
import time

import numpy as np
import pytest
import torch

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.evaluation.predict_video import predict_video
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import create_model
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.decoding.open import read_frames
from stvit_video.video.numbered import write_pictures

PREPROCESSING = Preprocessing(
    num_frames=3, frame_stride=2, image_size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
VIEWS = ViewConfig(num_clips=2, num_crops=3)


@pytest.fixture
def write_greys(tmp_path):
    """Write a lossless video at 10 fps, frame i of grey `level` + 5 i."""

    def write(level, *, num_frames):
        path = tmp_path / f"{level}.mkv"
        greys = (np.full((32, 48, 3), level + 5 * i, np.uint8) for i in range(num_frames))
        write_pictures(path, greys, codec="ffv1", pix_fmt="bgr0", fps=10)
        return path

    return write


class MeanGrey(VideoModel):
    """Logits 0 and 10 x mean grey: the clip's frames can be told from them."""

    labels = ("dark", "bright")
    name = "grey"

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.preprocessing = PREPROCESSING
        self.scale = torch.nn.Parameter(torch.tensor(10.0))

    def forward(self, clip):
        grey = clip.mean(dim=(1, 2, 3, 4)) * self.scale
        return torch.stack([torch.zeros_like(grey), grey], dim=1)

    def token_counts(self, clip_size=None):
        return {"input": 12, "semantic": 5}


class Watched(MeanGrey):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, clip):
        self.seen.append(clip)
        return super().forward(clip)


def predict(video, **how):
    return Predictor(MeanGrey(), views=VIEWS, device="cpu").predict(video, **how)


def test_views_are_clip_by_clip_and_crop_by_crop(counting_video):
    model = Watched()
    Predictor(model, views=VIEWS, device="cpu").predict(counting_video)
    (clips,) = model.seen
    assert clips.shape == (6, 3, 3, 32, 32)
    first, last = [0, 20, 40], [150, 170, 190]  # frame i has the grey level 10 i
    greys = (255 * clips[:, 0, :, 16, 16]).round().tolist()
    assert greys == [first, first, first, last, last, last]


def test_scores_average_the_probabilities_of_all_views(counting_video):
    prediction = predict(counting_video)
    bright = [1 / (1 + torch.exp(torch.tensor(-10 * g / 255))) for g in (20.0, 170.0)]
    assert prediction.topk[0]["label"] == "bright"
    assert prediction.topk[0]["score"] == pytest.approx(float(sum(bright) / 2), abs=1e-5)


def test_the_json_is_what_the_field_expects(counting_video):
    prediction = predict(counting_video, top_k=1)
    record = json.loads(json.dumps(prediction.as_json()))
    timing = record.pop("timing_ms")
    assert record == {
        "video": str(counting_video),
        "model": "grey",
        "duration_s": 2.0,
        "fps": 10.0,
        "frames": 20,
        "views": {"num_clips": 2, "num_crops": 3, "combine": "mean_probability"},
        "topk": [{"rank": 1, "index": 1, "label": "bright", "score": prediction.topk[0]["score"]}],
        "tokens": {"input": 12, "semantic": 5},
    }
    assert set(timing) == {"decode", "model"}


def test_classes_without_names_are_numbers(counting_video):
    model = MeanGrey()
    model.labels = ()
    topk = Predictor(model, device="cpu").predict(counting_video).topk
    assert [entry["label"] for entry in topk] == ["1", "0"]


def test_frames_in_memory_give_what_the_file_gives(counting_video):
    frames = read_frames(counting_video, range(20))
    of_file = predict(counting_video)
    for given in (frames, frames.numpy()):
        prediction = predict(given, fps=10)
        assert prediction.topk == of_file.topk
        assert (prediction.video, prediction.num_frames) == ("frames", 20)
        assert (prediction.fps, prediction.duration_seconds) == (10, 2.0)
    assert predict(frames).duration_seconds == 0.0


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "uint8 (4, 3, 8, 8)"),
        (torch.zeros(4, 8, 8, 3), "float32 (4, 8, 8, 3)"),
        (torch.zeros(0, 8, 8, 3, dtype=torch.uint8), "uint8 (0, 8, 8, 3)"),
    ],
)
def test_frames_of_another_kind_are_refused(frames, kind):
    with pytest.raises(ConfigError) as raised:
        predict(frames)
    assert str(raised.value) == f"frames ({kind}) must be uint8 (T, H, W, C) with C = 3 and T >= 1"


def test_frames_without_a_rate_are_refused_where_sampling_needs_it():
    predictor = Predictor(MeanGrey(), data=DataConfig(target_fps=15), device="cpu")
    with pytest.raises(ConfigError) as raised:
        predictor.predict(torch.zeros(9, 32, 32, 3, dtype=torch.uint8))
    assert str(raised.value) == "frames need fps: the model reads them at 15 a second"


def test_many_files_come_in_order_and_bad_ones_are_told(counting_video, numbered_video, tmp_path):
    predictor = Predictor(MeanGrey(), device="cpu")
    bad = tmp_path / "none.mp4"
    errors = []
    found = predictor.predict_many([counting_video, bad, numbered_video], on_error=errors.append)
    assert [prediction.video for prediction in found] == [str(counting_video), str(numbered_video)]
    assert [str(error) for error in errors] == [f"{bad}: missing (auto, open)"]
    (alone,) = predictor.predict_many([numbered_video])
    assert alone.topk == predictor.predict(numbered_video).topk
    with pytest.raises(VideoDecodeError):
        list(predictor.predict_many([bad]))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_many_files_give_what_each_gives_alone(write_greys, num_workers):
    files = [write_greys(level, num_frames=9 + level) for level in (7, 3, 11, 5, 0)]
    predictor = Predictor(MeanGrey(), views=VIEWS, device="cpu")
    found = list(predictor.predict_many(files, batch_size=13, num_workers=num_workers))
    assert [prediction.video for prediction in found] == list(map(str, files))
    for prediction, file in zip(found, files, strict=True):
        frames = read_frames(file, range(prediction.num_frames))
        for alone in (predictor.predict(file), predictor.predict(frames, fps=10)):
            assert prediction.num_frames == alone.num_frames
            assert (prediction.fps, prediction.duration_seconds) == (10, alone.duration_seconds)
            scores = [entry["score"] for entry in alone.topk]
            assert [entry["score"] for entry in prediction.topk] == pytest.approx(scores, abs=2e-6)
    assert len({prediction.topk[0]["score"] for prediction in found}) == 5


def test_views_of_several_files_share_a_forward_pass(write_greys):
    model = Watched()
    files = [write_greys(level, num_frames=9) for level in range(5)]
    predictor = Predictor(model, views=VIEWS, device="cpu")
    list(predictor.predict_many(files, batch_size=13, num_workers=0))
    assert [len(clips) for clips in model.seen] == [12, 12, 6]  # 2 files, 2 files, 1
    list(predictor.predict_many(files[:1], batch_size=4, num_workers=0))
    assert [len(clips) for clips in model.seen[3:]] == [4, 2]


def test_times_are_those_of_each_file_and_a_share_of_its_batch(write_greys):
    class Slow(MeanGrey):
        def forward(self, clip):
            time.sleep(0.4)
            return super().forward(clip)

    files = [write_greys(level, num_frames=9) for level in range(4)]
    predictor = Predictor(Slow(), device="cpu")
    found = list(predictor.predict_many(files, num_workers=0))
    assert len({prediction.model_milliseconds for prediction in found}) == 1
    assert 100 <= found[0].model_milliseconds < 200  # a quarter of one pass
    assert len({prediction.decode_milliseconds for prediction in found}) == 4
    assert all(0 < prediction.decode_milliseconds < 400 for prediction in found)


def test_an_endless_stream_is_asked_for_a_few_batches_ahead(counting_video):
    asked = []

    def stream():
        while True:
            asked.append(len(asked))
            yield counting_video

    predictor = Predictor(MeanGrey(), device="cpu")
    found = predictor.predict_many(stream(), batch_size=3, num_workers=2)
    three = [next(found).topk[0]["label"] for _ in range(7)]
    found.close()
    assert three == ["bright"] * 7
    assert len(asked) <= 7 + 3 * (2 * 2 + 3)  # two batches ahead each, and those at hand


def test_videos_before_a_bad_one_are_not_lost(write_greys, tmp_path):
    good = [write_greys(level, num_frames=9) for level in range(3)]
    bad = tmp_path / "none.mp4"
    predictor = Predictor(MeanGrey(), device="cpu")
    found = predictor.predict_many([good[0], good[1], bad, good[2]], num_workers=0)
    assert [next(found).video, next(found).video] == [str(good[0]), str(good[1])]
    with pytest.raises(VideoDecodeError, match=f"^{bad}: missing"):
        next(found)


def test_a_file_keeps_the_name_it_was_given(counting_video, monkeypatch):
    monkeypatch.chdir(counting_video.parent)
    predictor = Predictor(MeanGrey(), device="cpu")
    (found,) = predictor.predict_many([f"./{counting_video.name}"], num_workers=0)
    assert found.video == f"./{counting_video.name}"


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"top_k": 0}, "top_k (0) must be at least 1"),
        ({"batch_size": 0}, "batch_size (0) must be at least 1"),
        ({"num_workers": -1}, "data.num_workers (-1) must be at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(counting_video, how, text):
    with pytest.raises(ConfigError) as raised:
        next(Predictor(MeanGrey(), device="cpu").predict_many([counting_video], **how))
    assert str(raised.value) == text


def test_no_files_give_no_predictions():
    assert list(Predictor(MeanGrey(), device="cpu").predict_many([])) == []


def test_a_folder_is_loaded_once_and_read_as_it_was_trained(counting_video, tmp_path):
    model = create_model("demo_tiny", num_classes=2, num_frames=2, image_size=32)
    config = {"data": {"sampling": "uniform"}, "views": {"num_clips": 2}}
    write_checkpoint(model, tmp_path, labels=("pushing", "waving"), extra={"config": config})
    predictor = Predictor.load(tmp_path, num_crops=3, device="cpu")
    assert (predictor.data.sampling, predictor.views) == ("uniform", VIEWS)
    assert (
        predictor.predict(counting_video).topk
        == predict_video(counting_video, checkpoint=tmp_path, num_crops=3, device="cpu").topk
    )
    assert Predictor.load(tmp_path, num_clips=5).views.num_clips == 5


def test_half_precision_and_compilation_change_little(counting_video, tmp_path):
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=3, num_frames=2, image_size=32)
    write_checkpoint(model, tmp_path)
    scores = {
        (dtype, compile): Predictor.load(tmp_path, device="cpu", dtype=dtype, compile=compile)
        .predict(counting_video)
        .topk[0]["score"]
        for dtype, compile in (("float32", False), ("bfloat16", False), ("float32", True))
    }
    plain = scores["float32", False]
    assert scores["bfloat16", False] == pytest.approx(plain, abs=2e-2)
    assert scores["float32", True] == pytest.approx(plain, abs=1e-5)
