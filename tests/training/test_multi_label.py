"""Several labels a video: the loss, the mean average precision, and one run through commands."""

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from stvit_video import load_model
from stvit_video.cli import main
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.training.losses import classification_loss
from stvit_video.training.precision import MeanAveragePrecision

NAMES = ("run", "sit", "walk")


def test_each_class_is_a_question_of_its_own():
    logits = torch.tensor([[1.5, -0.5], [0.25, 2.0], [-3.0, 0.0]])
    target = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.3]])
    yes, no = logits.sigmoid().log(), (1 - logits.sigmoid()).log()
    expected = -(target * yes + (1 - target) * no).mean()
    loss = classification_loss(logits, target, smoothing=0.0, multi_label=True)
    torch.testing.assert_close(loss, expected)
    smooth = 0.9 * target + 0.1 / 2
    expected = -(smooth * yes + (1 - smooth) * no).mean()
    loss = classification_loss(logits, target, smoothing=0.1, multi_label=True)
    torch.testing.assert_close(loss, expected)


def test_the_precision_of_an_epoch_is_that_of_scikit_learn_over_the_classes_with_videos():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(31, 5, generator=generator)
    labels = (torch.rand(31, 5, generator=generator) < 0.3).int()
    labels[:, 3] = 0
    metric = MeanAveragePrecision(num_labels=5)
    for start in range(0, 31, 7):
        metric.update(logits[start : start + 7], labels[start : start + 7])
    there = [0, 1, 2, 4]
    expected = np.mean([average_precision_score(labels[:, k], logits[:, k]) for k in there])
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-6)


def test_without_a_label_there_is_no_precision():
    metric = MeanAveragePrecision(num_labels=2)
    metric.update(torch.zeros(3, 2), torch.zeros(3, 2).int())
    assert torch.isnan(metric.compute())


@pytest.fixture(scope="module")
def work(class_folder_root, tmp_path_factory):
    """Lists of ten videos, of which one is broken, and a run that was trained on them."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "broken.mp4").write_bytes(b"")
    paths = [*sorted(class_folder_root.rglob("*.mp4")), folder / "broken.mp4"]
    sets = ((0, 1), (2,), (0, 1, 2), (1, 2))
    records = [VideoRecord(path, n % 4) for n, path in enumerate(paths)]
    write_manifest(Manifest(records[:5] * 2, NAMES, sets), folder / "train.csv")
    write_manifest(Manifest(records, NAMES, sets), folder / "val.csv")
    single = [record._replace(label=n % 3) for n, record in enumerate(records)]
    write_manifest(Manifest(single, NAMES), folder / "single.csv")
    assert main(train(folder, "train", "val", "run")) == 0
    return folder


def train(folder, train_list, val_list, name):
    settings = {
        "model.name": "demo_tiny",
        "model.num_frames": 2,
        "model.image_size": 32,
        "data.train": folder / f"{train_list}.csv",
        "data.val": folder / f"{val_list}.csv",
        "data.num_workers": 0,
        "train.devices": "cpu",
        "train.epochs": 2,
        "train.batch_size": 5,
        "augmentation.mixup": 0.8,
        "augmentation.cutmix": 1.0,
        "augmentation.flip": 0.5,
        "augmentation.label_smoothing": 0.1,
        "augmentation.erase": 0.5,
        "output_dir": folder / name,
    }
    return ["train", *(f"--{setting}={value}" for setting, value in settings.items())]


def evaluate(folder, videos, *more):
    arguments = [
        "evaluate",
        folder / f"{videos}.csv",
        "--checkpoint",
        folder / "run",
        "--num_workers",
        "0",
        *more,
    ]
    assert main([*map(str, arguments), "--json", str(folder / "report.json")]) == 0
    return json.loads((folder / "report.json").read_text())


def test_what_is_trained_knows_that_its_videos_have_several_labels(work):
    model = load_model(work / "run")
    assert (model.labels, model.multi_label) == (NAMES, True)
    epochs = json.loads((work / "run" / "metrics.json").read_text())["epochs"]
    assert 0 < epochs[1]["train_loss"] < 1


def test_training_writes_down_the_precision_of_each_epoch(work):
    with (work / "run" / "steps.csv").open(newline="") as file:
        found = [float(row["val_map"]) for row in csv.DictReader(file) if row["val_map"]]
    epochs = json.loads((work / "run" / "metrics.json").read_text())["epochs"]
    assert len(found) == 2
    assert [epoch["val_map"] for epoch in epochs] == pytest.approx(found, rel=1e-5)
    best = max(range(2), key=lambda n: (found[n], n))  # it was exported
    report = evaluate(work, "val", "--num_clips", 1, "--num_crops", 1)
    assert found[best] == pytest.approx(report["mean_average_precision"], abs=1e-6)
    assert epochs[best]["val_top1"] == pytest.approx(report["top1"])


def test_an_evaluation_reports_the_mean_average_precision(work, capsys):
    report = evaluate(work, "val", "--num_crops", "3", "--output_dir", work / "scores")
    assert "mAP " in capsys.readouterr().out
    kept = np.load(work / "scores" / "videos.npz")
    views = torch.from_numpy(np.load(work / "scores" / "views.npz")["logits"])
    np.testing.assert_allclose(kept["scores"], views.sigmoid().mean(dim=1), atol=1e-6)
    assert kept["label"].tolist() == [
        [1, 1, 0],
        [0, 0, 1],
        [1, 1, 1],
        [0, 1, 1],
        [1, 1, 0],
    ]
    each = [average_precision_score(kept["label"][:, k], kept["scores"][:, k]) for k in range(3)]
    assert report["mean_average_precision"] == pytest.approx(np.mean(each))
    assert [row["average_precision"] for row in report["classes"]] == pytest.approx(each)
    assert [(row["num_decoded"], row["num_found"]) for row in report["classes"]] == [
        *((3, 3), (4, 4), (3, 4)),
    ]
    assert (report["num_decoded"], report["num_found"], report["mean_class"]) == (5, 6, None)
    best = kept["scores"].argmax(axis=1)
    right = kept["label"][np.arange(5), best]
    assert report["top1"] == pytest.approx(right.mean())
    with (work / "scores" / "videos.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)][2] == "run;sit;walk"
    assert not (work / "scores" / "confusion.csv").exists()


def test_predictions_list_all_labels(work):
    evaluate(work, "val", "--predictions", work / "predictions.json")
    listed = json.loads((work / "predictions.json").read_text())
    assert [entry["label"] for entry in listed][:2] == [["run", "sit"], ["walk"]]


def test_a_list_of_one_label_a_video_is_measured_as_one_of_several(work):
    report = evaluate(work, "single")
    assert report["mean_average_precision"] is not None


def test_a_prediction_gives_each_class_a_probability_of_its_own(work, numbered_video, capsys):
    capsys.readouterr()
    arguments = ["predict", numbered_video, "--checkpoint", work / "run", "--json", "-"]
    assert main([*map(str, arguments)]) == 0
    scores = [entry["score"] for entry in json.loads(capsys.readouterr().out)["topk"]]
    assert len(scores) == 3
    assert abs(sum(scores) - 1) > 0.1


def test_lists_of_two_kinds_are_refused(work, capsys):
    assert main(train(work, "single", "val", "other")) == 2
    assert capsys.readouterr().err == (
        f"stvit-video train: data.val ({work / 'val.csv'}) has several labels a video, but"
        f" data.train ({work / 'single.csv'}) one; take lists of one kind\n"
    )


def test_a_video_without_a_label_is_refused(work, capsys):
    path = work / "unknown.csv"
    path.write_text((work / "train.csv").read_text().replace("run;sit;walk", ""))
    (work / "unknown.labels.txt").write_text("run\nsit\nwalk\n")
    assert main(train(work, "unknown", "val", "other")) == 2
    assert "(and of 1 more videos) is not known; training needs one\n" in capsys.readouterr().err
