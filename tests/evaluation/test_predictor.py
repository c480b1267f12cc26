import json

import pytest
import torch
from torch import nn

from stvit_video.evaluation.predictor import predict_file, read_views
from stvit_video.settings.model import Preprocessing, ViewConfig
from stvit_video.video.sampling.scheme import SamplingScheme

PREPROCESSING = Preprocessing(
    num_frames=3, frame_stride=2, image_size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
VIEWS = ViewConfig(num_clips=2, num_crops=3)


class MeanGrey(nn.Module):
    """Logits 0 and 10 x mean grey: the clip's frames can be told from them."""

    preprocessing = PREPROCESSING

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, clip):
        grey = clip.mean(dim=(1, 2, 3, 4)) * self.scale
        return torch.stack([torch.zeros_like(grey), grey], dim=1)

    def token_counts(self):
        return {"input": 12, "semantic": 5}


def predict(video, **how):
    sample = SamplingScheme(num_frames=3, frame_stride=2, num_clips=2)
    options = {"class_names": ("dark", "bright"), "views": VIEWS} | how
    return predict_file(MeanGrey(), video, model_name="grey", sample=sample, **options)


def test_views_are_clip_by_clip_and_crop_by_crop(counting_video):
    sample = SamplingScheme(num_frames=3, frame_stride=2, num_clips=2)
    info, views = read_views(
        counting_video, preprocessing=PREPROCESSING, sample=sample, views=VIEWS
    )
    assert (info.num_frames, views.dtype, views.shape) == (20, torch.uint8, (6, 3, 3, 32, 32))
    first, last = [0, 20, 40], [150, 170, 190]  # frame i has the grey level 10 i
    greys = views[:, 0, :, 16, 16].tolist()
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
        "views": {"clips": 2, "crops": 3, "aggregate": "softmax-mean"},
        "topk": [{"rank": 1, "index": 1, "label": "bright", "score": prediction.topk[0]["score"]}],
        "tokens": {"input": 12, "semantic": 5},
    }
    assert set(timing) == {"decode", "model"}


def test_classes_without_names_are_numbers(counting_video):
    assert [entry["label"] for entry in predict(counting_video, class_names=()).topk] == ["1", "0"]
