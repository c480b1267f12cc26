"""Views that an attentive pooler reads together, from files; and what size they are cut from."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from stvit_video import create_model, load_model
from stvit_video.cli import main
from stvit_video.datasets.from_settings import build_evaluation_loader
from stvit_video.datasets.records import VideoRecord
from stvit_video.evaluation.evaluate import score_videos
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import VARIANTS
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.video.numbered import write_pictures
from stvit_video.video.pixels.crops import normalize_clip

CPU = torch.device("cpu")
JOINED = ViewConfig(num_clips=2, num_crops=3, join_clips=True)
DATA = DataConfig(num_workers=0)


@pytest.fixture
def model(monkeypatch):
    row = dataclasses.replace(
        VARIANTS["vjepa2_large_patch16_256"],
        **{"dim": 24, "depth": 2, "num_heads": 2, "tubelet_size": (2, 8, 8)},
    )
    monkeypatch.setitem(VARIANTS, "vjepa2_small", row)
    torch.manual_seed(0)
    made = create_model(
        "vjepa2_small", num_classes=5, num_frames=4, frame_stride=1, image_size=32
    ).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made


@pytest.fixture
def videos(tmp_path):
    """Two lossless videos of 48 x 72 pixels: patches that change from frame to frame."""
    paths = []
    for seed in (0, 1):
        cells = np.random.default_rng(seed).integers(0, 255, (12, 2, 3, 3), dtype=np.uint8)
        pictures = cells.repeat(24, axis=1).repeat(24, axis=2)
        paths.append(tmp_path / f"{seed}.mkv")
        write_pictures(paths[-1], pictures, codec="ffv1", pix_fmt="bgr0", fps=10)
    return paths


def loader_of(model, videos, views, batch_size):
    records = [VideoRecord(path, label=0) for path in videos]
    return build_evaluation_loader(
        records, model.preprocessing, data=DATA, views=views, batch_size=batch_size
    )


def expected_scores(model, videos):
    """The clips of a crop together, then the mean over crops."""
    scores = []
    for path in videos:
        (batch,) = loader_of(model, [path], JOINED, 6)
        clips = normalize_clip(batch.clip, model.preprocessing)
        with torch.no_grad():
            crops = [model.forward_joined(clips[[crop, 3 + crop]][None]) for crop in range(3)]
        scores.append(torch.cat(crops).softmax(-1).mean(0))
    return torch.stack(scores)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_clips_of_a_crop_are_read_together(model, videos, batch_size):
    expected = expected_scores(model, videos)
    result = score_videos(
        model,
        loader_of(model, videos, JOINED, batch_size),
        preprocessing=model.preprocessing,
        views=JOINED,
        device=CPU,
        batch_size=batch_size,
    )
    torch.testing.assert_close(result.scores, expected)
    predictor = Predictor(model, data=DATA, views=JOINED, device="cpu")
    told = list(predictor.predict_many(videos, batch_size=batch_size, top_k=5))
    for answer, scores in zip(told, expected, strict=True):
        assert answer.topk[0]["score"] == pytest.approx(scores.max().item(), rel=1e-4)
    alone = dataclasses.replace(JOINED, join_clips=False)
    apart = score_videos(
        model,
        loader_of(model, videos, alone, batch_size),
        preprocessing=model.preprocessing,
        views=alone,
        device=CPU,
        batch_size=batch_size,
    )
    assert (apart.scores - expected).abs().max() > 1e-3


def test_a_frame_has_the_short_side_of_the_model_where_views_say_none(model, videos):
    half = dataclasses.replace(model.preprocessing, short_side=2.0)
    views = ViewConfig(short_side=2.0)
    model.preprocessing = half
    (own,) = loader_of(model, videos[:1], ViewConfig(), 1)
    model.preprocessing = dataclasses.replace(half, short_side=1.0)
    (asked,) = loader_of(model, videos[:1], views, 1)
    (plain,) = loader_of(model, videos[:1], ViewConfig(), 1)
    model.preprocessing = half
    (not_asked,) = loader_of(model, videos[:1], ViewConfig(short_side=1.0), 1)
    assert torch.equal(own.clip, asked.clip)
    assert torch.equal(plain.clip, not_asked.clip)
    assert not torch.equal(own.clip, plain.clip)


def test_what_a_card_keeps(model, tmp_path):
    """Nothing that version 0.1 does not know, where it is as usual; no pooler stays none."""
    write_checkpoint(model, tmp_path / "a")
    card = (tmp_path / "a" / "model.json").read_text()
    assert '"short_side": 1.140625' in card
    assert "attentive" not in card
    assert load_model(tmp_path / "a").preprocessing == model.preprocessing
    assert load_model(tmp_path / "a").attentive_blocks == 4
    model.reset_classifier(5, attentive_blocks=0)
    write_checkpoint(model, tmp_path / "b")
    assert load_model(tmp_path / "b").attentive_blocks == 0
    write_checkpoint(create_model("demo_tiny"), tmp_path / "c")
    card = (tmp_path / "c" / "model.json").read_text()
    assert "short_side" not in card
    assert "attentive" not in card


def test_the_commands_join_clips_where_they_are_told_to(model, videos, tmp_path, capsys):
    """And `convert` reads a probe from a file of its own."""
    weights = model.state_dict()
    probe = {k: v for k, v in weights.items() if k.startswith(("pooler.", "head."))}
    torch.save({k: v for k, v in weights.items() if k not in probe}, tmp_path / "encoder.pt")
    torch.save(probe, tmp_path / "probe.pt")
    folder = str(tmp_path / "run")
    convert = ["convert", str(tmp_path / "encoder.pt"), "--probe", str(tmp_path / "probe.pt")]
    assert main([*convert, "--model", "vjepa2_small", "--output", folder]) == 0
    torch.testing.assert_close(load_model(folder).state_dict(), weights)
    write_checkpoint(model, folder)  # with its frames and size
    expected = expected_scores(model, videos[:1])[0]
    views = ["--num_clips", "2", "--num_crops", "3", "--join_clips", "true", "--device", "cpu"]
    capsys.readouterr()
    assert main(["predict", str(videos[0]), "--checkpoint", folder, *views, "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["topk"][0]["score"] == pytest.approx(expected.max().item(), rel=1e-4)
    for number, path in enumerate(videos):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
        shutil.copy(path, tmp_path / "data" / str(number))
    target = str(tmp_path / "predictions.json")
    evaluate = [
        "evaluate",
        str(tmp_path / "data"),
        "--checkpoint",
        folder,
        *views,
        "--predictions",
        target,
    ]
    assert main(evaluate) == 0
    best = json.loads((tmp_path / "predictions.json").read_text())[0]["topk"][0]
    assert best["score"] == pytest.approx(expected.max().item(), rel=1e-4)
