"""Probes through the command line: features once, many heads, a model that others read."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml

from stvit_video import create_model, load_model
from stvit_video.cli import main
from stvit_video.models.checkpoint import write_checkpoint

FAST = ["--data.num_workers", "0", "--device", "cpu", "--probe.epochs", "4"]
GRID = ["--probe.lrs", "[0.01, 0.001]", "--probe.weight_decays", "[0.0, 0.3]"]
VIEWS = ["--views.num_clips", "2"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("backbone")
    model = create_model("demo_tiny", num_classes=4, num_frames=2, image_size=32)
    write_checkpoint(model, folder)
    return folder


def probe(backbone, videos, output_dir, *more):
    data = ["--data.train", videos, "--data.val", videos]
    model = ["--model.name", "demo_tiny", "--model.pretrained", backbone]
    arguments = ["probe", *model, *data, *FAST, *GRID, *VIEWS, "--output_dir", output_dir, *more]
    return main([str(argument) for argument in arguments])


KINDS = {
    "linear": (),
    "attentive": ("--model.attentive_blocks", "2"),
    "semantic": ("--model.attentive_blocks", "1", "--model.semantic", "3@2"),
    "joined": (
        *("--model.attentive_blocks", "1", "--model.semantic", "3@2"),
        *("--views.join_clips", "true", "--views.num_crops", "3"),
    ),
}
"""Of the last, tokens stand for unequally many patches."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_that_is_written_says_what_the_best_probe_said(
    kind, backbone, class_folder_root, tmp_path, capsys
):
    assert probe(backbone, class_folder_root, tmp_path / "run", *KINDS[kind]) == 0
    report = json.loads((tmp_path / "run" / "metrics.json").read_text())
    shape = {"linear": [96], "attentive": [16, 96], "semantic": [3, 97], "joined": [6, 97]}[kind]
    assert (report["feature_shape"], report["num_videos"]) == (shape, 5)
    assert report["num_views"] == (6 if kind == "joined" else 2)
    pairs = [(p["lr"], p["weight_decay"]) for p in report["probes"]]
    assert pairs == [(0.01, 0.0), (0.01, 0.3), (0.001, 0.0), (0.001, 0.3)]
    best = report["probes"][report["best"]]
    assert best["val"]["top1"] == max(p["val"]["top1"] for p in report["probes"])
    scores = tmp_path / "scores"
    evaluation = [
        "evaluate",
        class_folder_root,
        "--checkpoint",
        tmp_path / "run",
        "--output_dir",
        scores,
    ]
    assert main([*map(str, evaluation), "--num_workers", "0", "--json", str(tmp_path / "e")]) == 0
    found = json.loads((tmp_path / "e").read_text())
    assert found["num_clips"] == 2  # as the probes saw
    assert [found[x] for x in ("top1", "mean_class")] == [
        best["val"][x] for x in ("top1", "mean_class")
    ]


def test_the_backbone_is_that_of_the_weights_and_the_labels_are_the_folder_s(
    backbone, class_folder_root, tmp_path
):
    assert probe(backbone, class_folder_root, tmp_path / "run", *KINDS["attentive"]) == 0
    ours, theirs = load_model(tmp_path / "run"), load_model(backbone)
    assert ours.labels == ("pushing left", "waving")
    assert ours.attentive_blocks == 2
    for name, value in theirs.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(ours.state_dict()[name], value), name
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["extra"]["config"] == yaml.safe_load((tmp_path / "run/config.yaml").read_text())


def test_features_are_computed_once_and_shared(
    backbone, class_folder_root, tmp_path, capsys, monkeypatch
):
    videos = shutil.copytree(class_folder_root, tmp_path / "videos")
    features = ["--features", tmp_path / "features"]
    assert probe(backbone, videos, tmp_path / "one", *features) == 0
    first = {p: p.stat().st_mtime_ns for p in (tmp_path / "features").rglob("*.scores")}
    assert len(first) == 2
    capsys.readouterr()
    assert probe(backbone, videos, tmp_path / "same", *features) == 0
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("one", "same")]
    assert weights[0] == weights[1]
    other = ["--probe.lrs", "[0.1]", "--probe.weight_decays", "[0.0]"]
    assert probe(backbone, videos, tmp_path / "two", *features, *other) == 0
    assert "5 of 5 videos were scored before" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "features").rglob("*.scores")} == first
    assert len(json.loads((tmp_path / "two" / "metrics.json").read_text())["probes"]) == 1


@pytest.mark.parametrize(
    ("more", "name"),
    [
        (("--views.num_clips", "3"), "num_clips was 2, not 3"),
        (("--model.semantic", "1x2x2@2"), "semantic was , not 1x2x2@2"),
        (("--data.short_video", "loop"), "sampling was"),
        (("--model.attentive_blocks", "1"), "features was pooled, not tokens"),
    ],
)
def test_features_of_something_else_are_refused_and_stay(
    more, name, backbone, class_folder_root, tmp_path, capsys
):
    features = ["--features", tmp_path / "features"]
    assert probe(backbone, class_folder_root, tmp_path / "one", *features) == 0
    before = {p: p.read_bytes() for p in (tmp_path / "features").rglob("*") if p.is_file()}
    capsys.readouterr()
    assert probe(backbone, class_folder_root, tmp_path / "two", *features, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"stvit-video probe: features ({tmp_path / 'features' / 'train'}) holds features of"
        " something else: its "
    )
    assert name in error
    assert error.count("\n") == 1
    assert {p: p.read_bytes() for p in (tmp_path / "features").rglob("*") if p.is_file()} == before
    assert not (tmp_path / "two" / "model.safetensors").exists()


def test_videos_that_do_not_decode_are_named_and_left_out(
    backbone, class_folder_root, tmp_path, capsys
):
    videos = shutil.copytree(class_folder_root, tmp_path / "videos")
    bad = videos / "waving" / "zz broken.mp4"
    bad.write_bytes(b"no video")
    assert probe(backbone, videos, tmp_path / "run") == 2
    assert capsys.readouterr().err.startswith(
        "stvit-video probe: 1 of 6 training videos do not decode, more than data.max_failed_share"
        " (0.01) allows; `stvit-video data scan` finds them all, the first: "
    )
    assert probe(backbone, videos, tmp_path / "run", "--data.max_failed_share", "0.2") == 0
    report = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert report["num_videos"] == 5
    assert len(report["failed"]) == len(report["val_failed"]) == 1
    assert str(bad) in report["failed"][0]
    assert f"does not decode: {report['failed'][0]}" in capsys.readouterr().out


def test_a_probe_that_diverges_takes_no_other_along(backbone, class_folder_root, tmp_path, capsys):
    more = ["--probe.lrs", "[1e30, 0.01]", "--probe.weight_decays", "[0.5]"]
    assert probe(backbone, class_folder_root, tmp_path / "run", *more) == 0
    report = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert report["probes"][0]["val"] is None
    assert report["probes"][0]["train_loss"] is None
    assert report["best"] == 1
    assert load_model(tmp_path / "run").head.weight.isfinite().all()
    assert "the probe has diverged" in capsys.readouterr().out


def test_where_all_diverge_one_line_says_so(backbone, class_folder_root, tmp_path, capsys):
    more = ["--probe.lrs", "[1e30]", "--probe.weight_decays", "[0.5]"]
    assert probe(backbone, class_folder_root, tmp_path / "run", *more) == 2
    error = (
        r"stvit-video probe: the loss of every probe is no number in epoch \d; lower probe.lrs\n"
    )
    assert re.fullmatch(error, capsys.readouterr().err)


def test_several_labels_a_video_are_measured_by_mean_average_precision(
    backbone, class_folder_root, tmp_path, capsys
):
    paths = sorted(class_folder_root.rglob("*.mp4"))
    rows = [(path, "a;b" if number % 2 else "b;c") for number, path in enumerate(paths)]
    with (tmp_path / "list.csv").open("w") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    assert probe(backbone, tmp_path / "list.csv", tmp_path / "run") == 0
    report = json.loads((tmp_path / "run" / "metrics.json").read_text())
    figures = [p["val"]["mean_average_precision"] for p in report["probes"]]
    assert all(figure is not None for figure in figures)
    assert report["best"] == int(np.argmax(figures))
    assert "validation mAP (%)" in capsys.readouterr().out
    model = load_model(tmp_path / "run")
    assert (model.multi_label, model.labels) == (True, ("a", "b", "c"))
    evaluate = ["evaluate", tmp_path / "list.csv", "--checkpoint", tmp_path / "run"]
    assert main([*map(str, evaluate), "--json", str(tmp_path / "e"), "--num_workers", "0"]) == 0
    assert json.loads((tmp_path / "e").read_text())["mean_average_precision"] == max(figures)


def test_a_folder_that_holds_a_model_is_not_written_to(
    backbone, class_folder_root, tmp_path, capsys
):
    assert probe(backbone, class_folder_root, backbone) == 2
    assert capsys.readouterr().err == (
        f"stvit-video probe: output_dir ({backbone}) already holds a model; choose another\n"
    )


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (
            ("--probe.lrs", "[0.1, 0.1]"),
            "probe.lrs ([0.1, 0.1]) must not name a value twice",
        ),
        (
            ("--model.head_dropout", "0.5"),
            "model.head_dropout (0.5) does nothing to probes of a frozen network; leave it out",
        ),
        (
            ("--probe.warmup_epochs", "5"),
            "probe.warmup_epochs (5) must be at most probe.epochs (4)",
        ),
        (
            ("--model.attentive_blocks", "1", "--model.reduction", "rlt:threshold=0.1"),
            "model.reduction (rlt) leaves other numbers of tokens from clip to clip, which cannot"
            " be kept for an attentive probe; leave out model.attentive_blocks",
        ),
    ],
)
def test_bad_settings_end_in_one_line(more, error, backbone, class_folder_root, tmp_path, capsys):
    assert probe(backbone, class_folder_root, tmp_path / "run", *more) == 2
    assert capsys.readouterr().err == f"stvit-video probe: {error}\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        (
            "--model.pretrained",
            "missing model.pretrained; give the weights whose features are to be probed",
        ),
        ("--data.val", "missing data.val; give a folder of class folders or a manifest"),
    ],
)
def test_weights_and_both_lists_are_needed(missing, line, class_folder_root, tmp_path, capsys):
    given = {
        "--model.pretrained": tmp_path,
        "--data.train": class_folder_root,
        "--data.val": class_folder_root,
        "--model.name": "demo_tiny",
        "--output_dir": tmp_path / "run",
    }
    del given[missing]
    assert main(["probe", *(str(word) for pair in given.items() for word in pair)]) == 2
    assert capsys.readouterr().err == f"stvit-video probe: {line}\n"


def test_a_disk_that_is_too_small_is_noticed_before_the_work(
    backbone, class_folder_root, tmp_path, capsys, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert probe(backbone, class_folder_root, tmp_path / "run", *KINDS["attentive"]) == 2
    error = capsys.readouterr().err
    assert "choose another folder, fewer views or fewer tokens" in error
    assert f"features ({tmp_path / 'run' / 'features' / 'train'}) take" in error


def test_weights_of_a_pre_training_are_probed(class_folder_root, tmp_path, capsys):
    """They have neither head nor, of VideoMAE in HF's form, the norm ahead of it."""
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    size = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
    decoder = {f"decoder_{name}": value // 2 for name, value in size.items()}
    config = VideoMAEConfig(**size, **decoder, num_hidden_layers=12, decoder_num_hidden_layers=1)
    VideoMAEForPreTraining(config).save_pretrained(tmp_path / "hf")
    name, small = "videomae_small_patch16_224", ["--model.num_frames", "2", "--model.image_size"]
    more = ["--model.name", name, *small, "32", "--probe.epochs", "1"]
    capsys.readouterr()
    assert probe(tmp_path / "hf", class_folder_root, tmp_path / "run", *more) == 0
    model = load_model(tmp_path / "run")
    assert (model.name, model.num_classes) == (name, 2)
    assert capsys.readouterr().err == ""


def test_linear_probes_do_not_join_clips(backbone, class_folder_root, tmp_path, capsys):
    assert probe(backbone, class_folder_root, tmp_path / "run", "--views.join_clips", "true") == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .splitlines()[-1]
        .endswith(
            "views.join_clips (True) needs an attentive pooler, but these probes are linear; give"
            " model.attentive_blocks"
        )
    )


def test_features_serve_joined_clips_and_single_ones(backbone, class_folder_root, tmp_path):
    attentive, kept = KINDS["attentive"], ("--features", tmp_path / "kept")
    assert probe(backbone, class_folder_root, tmp_path / "a", *attentive, *kept) == 0
    before = (tmp_path / "kept" / "train" / "features.json").read_text()
    joined = ("--views.join_clips", "true")
    assert probe(backbone, class_folder_root, tmp_path / "b", *attentive, *kept, *joined) == 0
    assert (tmp_path / "kept" / "train" / "features.json").read_text() == before
    report = json.loads((tmp_path / "b" / "metrics.json").read_text())
    assert report["feature_shape"] == [32, 96]
