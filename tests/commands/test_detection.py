"""Detectors on the command line: train, evaluate, predict, and what is refused."""

import dataclasses
import json

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from safetensors.torch import load_file

from stvit_video.cli import main
from stvit_video.datasets.coco.tiny import write_tiny_coco
from stvit_video.models import registry
from stvit_video.training.detection import DetectionTask

OF_CLIPS = "is for clips; detector.name mask_rcnn reads images"
NAME = "swin_tiny_patch4_window7_224"


@pytest.fixture(scope="module", autouse=True)
def few_channels():
    """Keep the name of the row, with few and narrow blocks below it."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"dim": 8, "num_heads": (1, 1, 2, 4), "depths": (1, 1, 3, 1)}
        row = dataclasses.replace(registry.VARIANTS[NAME], **sizes)
        patch.setitem(registry.VARIANTS, NAME, row)
        yield


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """A tiny COCO of three classes, which is found in faster than one of eighty."""
    root = tmp_path_factory.mktemp("coco")
    for path in write_tiny_coco(root, num_images={"train": 4, "val": 4}).values():
        content = json.loads(path.read_text())
        content["categories"] = content["categories"][:3]
        for annotation in content["annotations"]:
            annotation["category_id"] = 1 + annotation["category_id"] % 3
        path.write_text(json.dumps(content))
    return root


def words_of(coco, output_dir, *more, kind="mask_rcnn"):
    words = ["train", "--model.name", NAME, "--model.semantic", "1x6x6@0-3"]
    words += ["--detector.name", kind, "--detector.min_size", "64", "--detector.max_size", "96"]
    words += ["--detector.train_min_sizes", "[48]", "--detector.score_threshold", "0.01"]
    for part in ("train", "val"):
        annotations = coco / "annotations" / f"instances_{part}2017.json"
        words += [f"--data.{part}", str(annotations)]
        words += [f"--data.{part}_media", str(coco / f"{part}2017")]
    words += ["--data.num_workers", "0", "--train.devices", "cpu", "--train.batch_size", "2"]
    words += ["--train.epochs", "2", "--optimizer.lr", "1e-3", "--train.loggers", "[csv]"]
    return [*words, "--output_dir", str(output_dir), *more]


@pytest.fixture(scope="module")
def run(coco, tmp_path_factory, few_channels):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(words_of(coco, folder)) == 0
    return folder


def evaluate_words(run, coco, *more):
    annotations = coco / "annotations" / "instances_val2017.json"
    words = [
        "evaluate",
        str(annotations),
        "--checkpoint",
        str(run),
        "--media",
        str(coco / "val2017"),
    ]
    return [*words, "--num_workers", "0", "--batch_size", "2", "--device", "cpu", *more]


def test_what_is_validated_is_what_is_exported_and_evaluated(run, coco, tmp_path, capsys):
    epochs = json.loads((run / "metrics.json").read_text())["epochs"]
    assert [epoch["step"] for epoch in epochs] == [2, 4]
    assert all(epoch["train_loss"] > 0 for epoch in epochs)
    best = max(epochs, key=lambda epoch: (epoch["val_map"], epoch["epoch"]))
    found, report = tmp_path / "found.json", tmp_path / "report.json"
    more = ["--predictions", str(found), "--json", str(report)]
    assert main(evaluate_words(run, coco, *more)) == 0
    table = capsys.readouterr().out
    assert "average precision (%)" in table
    assert "of 4 images of" in table
    measured = json.loads(report.read_text())
    assert measured["boxes"]["ap"] == pytest.approx(best["val_map"], abs=1e-9)
    assert measured["masks"]["ap"] == pytest.approx(best["val_mask_map"], abs=1e-9)
    assert (measured["num_images"], measured["num_failed"]) == (4, 0)
    truth = COCO(str(coco / "annotations" / "instances_val2017.json"))
    loaded = truth.loadRes(json.loads(found.read_text()))
    assert len(loaded.anns) > 0
    assert {ann["category_id"] for ann in loaded.anns.values()} <= set(truth.getCatIds())


def test_objects_of_images_are_records_and_drawn_beside_the_clusters(run, coco, tmp_path, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    words = ["predict", str(coco / "val2017"), str(tmp_path / "bad.jpg"), "--checkpoint", str(run)]
    words += ["--num_workers", "0", "--min_score", "0", "--draw_dir", str(tmp_path / "drawn")]
    assert main([*words, "--jsonl", str(tmp_path / "found.jsonl")]) == 1
    told = capsys.readouterr()
    assert "cannot be read: " in told.err
    assert "4 of 5 images can be read" in told.out
    records = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    good = [record for record in records if "error" not in record]
    assert (len(records), len(good)) == (5, 4)
    classes = {
        c["name"]
        for c in json.loads((coco / "annotations" / "instances_val2017.json").read_text())[
            "categories"
        ]
    }
    for record in good:
        assert (record["width"], record["height"]) == (160, 120)
        for found in record["objects"]:
            assert found["label"] in classes
            assert found["mask"]["size"] == [120, 160]
    drawn = sorted((tmp_path / "drawn").rglob("*.jpg"))
    assert len(drawn) == 4
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.size == (160 + 2 + 160, 120)


def test_a_training_that_was_broken_off_ends_as_one_that_was_not(run, coco, tmp_path, monkeypatch):
    step, seen = DetectionTask.training_step, []

    def break_off(task, batch, index):
        seen.append(batch.index.tolist())
        if len(seen) == 3:
            raise KeyboardInterrupt
        return step(task, batch, index)

    folder = tmp_path / "run"
    monkeypatch.setattr(DetectionTask, "training_step", break_off)
    assert main(words_of(coco, folder)) == 130
    monkeypatch.setattr(DetectionTask, "training_step", step)
    assert main(words_of(coco, folder)) == 0
    theirs = load_file(run / "model.safetensors")
    mine = load_file(folder / "model.safetensors")
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    names = ("train_loss", "val_map", "val_mask_map")
    curves = [
        [[epoch[name] for name in names] for epoch in json.loads(text)["epochs"]]
        for text in ((path / "metrics.json").read_text() for path in (run, folder))
    ]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--augmentation.mixup", "0.8"], f"augmentation.mixup {OF_CLIPS}"),
        (["--data.sampling", "segments"], f"data.sampling {OF_CLIPS}"),
        (["--model.attentive_blocks", "2"], f"model.attentive_blocks {OF_CLIPS}"),
        (["--train.share_frames", "true"], f"train.share_frames {OF_CLIPS}"),
        (
            ["--train.strategy", "fsdp"],
            "train.strategy (fsdp) is for classifiers; detector.name mask_rcnn",
        ),
        (
            ["--detector.max_size", "32"],
            "detector.min_size (64) must be at most detector.max_size (32)",
        ),
        (
            ["--train.freeze", "blocks 0-99"],
            "train.freeze (blocks 0-99) must name blocks in 0..8",
        ),
    ],
)
def test_settings_without_a_place_are_refused_before_anything_is_written(
    coco, tmp_path, capsys, words, line
):
    assert main(words_of(coco, tmp_path / "run", *words)) == 2
    assert capsys.readouterr().err == f"stvit-video train: {line}\n"
    assert not (tmp_path / "run").exists()


def test_validation_images_are_of_the_same_classes(coco, tmp_path, capsys):
    content = json.loads((coco / "annotations" / "instances_val2017.json").read_text())
    content["categories"][0]["name"] = "unicorn"
    (tmp_path / "val.json").write_text(json.dumps(content))
    words = words_of(coco, tmp_path / "run", "--data.val", str(tmp_path / "val.json"))
    assert main(words) == 2
    assert (
        "val.json: the 3 categories must be the 3 classes of the model" in capsys.readouterr().err
    )


def test_media_are_for_detectors(tmp_path, capsys, coco):
    words = ["train", "--model.name", "demo_tiny", "--data.train", str(coco)]
    words += ["--data.train_media", str(coco), "--output_dir", str(tmp_path / "run")]
    assert main(words) == 2
    assert "data.train_media is for detectors; set detector.name as well" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--num_clips", "2"], "num_clips (2) is for clips"),
        (["--window", "2s"], "window (2s)"),
    ],
)
def test_options_of_clips_are_refused(run, coco, capsys, words, line):
    assert main(evaluate_words(run, coco, *words)) == 2
    assert line in capsys.readouterr().err


def test_predicting_refuses_what_a_detector_has_no_place_for(run, coco, capsys):
    for words, line in (
        (["--window", "2s"], "window (2s) is for clips"),
        (["--dtype", "bfloat16"], "dtype (bfloat16) is for clips"),
        (["--csv", "x.csv"], "csv (x.csv) is for clips"),
        (["--json", "-", "--jsonl", "-"], "json and jsonl both go to standard output; name a"),
    ):
        words = ["predict", str(coco / "val2017"), "--checkpoint", str(run), *words]
        assert main(words) == 2
        assert line in capsys.readouterr().err


def test_a_folder_is_no_file_of_annotations(run, coco, capsys):
    words = evaluate_words(run, coco)
    words[1] = str(coco / "val2017")
    assert main(words) == 2
    line = (
        "are a folder; give the JSON file of COCO's form, and the folder of its images as media\n"
    )
    assert capsys.readouterr().err.endswith(line)


def test_annotations_of_other_classes_are_refused(run, coco, tmp_path, capsys):
    path = coco / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "unicorn"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    words = evaluate_words(run, coco)
    words[1] = str(other)
    assert main(words) == 2
    assert (
        "other.json: the 3 categories must be the 3 classes of the model; only the model has"
        in (capsys.readouterr().err)
    )


@pytest.mark.parametrize("kind", [pytest.param("faster_rcnn", marks=pytest.mark.slow), "retinanet"])
def test_the_other_detectors_train_and_find_no_masks(kind, coco, tmp_path):
    folder = tmp_path / "run"
    assert main(words_of(coco, folder, "--train.epochs", "1", kind=kind)) == 0
    (epoch,) = json.loads((folder / "metrics.json").read_text())["epochs"]
    assert epoch["val_map"] is not None
    assert epoch["val_mask_map"] is None
    report = tmp_path / "report.json"
    assert main(evaluate_words(folder, coco, "--json", str(report))) == 0
    assert json.loads(report.read_text())["masks"] is None
