"""A detector of actions through the commands, on tiny films laid out as AVA."""

import csv
import json

import pytest

from stvit_video.cli import main
from stvit_video.datasets.ava.tiny import LABEL_MAP, write_tiny_ava
from stvit_video.detection.actions.network import ActionDetector


@pytest.fixture(scope="module")
def ava(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ava")
    write_tiny_ava(folder, num_frames={"train": 6, "val": 6})
    return folder


def train(ava, *more):
    words = {
        "model.name": "demo_tiny",
        "model.semantic": "4x2x2@1-4",
        "detector.name": "actions",
        "detector.labels": ava / "annotations" / LABEL_MAP,
        "detector.first_second": 900,
        "data.train": ava / "annotations" / "ava_train_v2.2.csv",
        "data.val": ava / "annotations" / "ava_val_v2.2.csv",
        "data.train_media": ava / "trainval",
        "data.val_media": ava / "trainval",
        "data.num_workers": 0,
        "data.max_failed_share": 0.5,
        "train.batch_size": 3,
        "train.epochs": 2,
        "train.devices": "cpu",
        "output_dir": ava / "run",
    }
    return main(["train", *(f"--{name}={value}" for name, value in words.items()), *more])


@pytest.fixture(scope="module")
def run(ava):
    assert train(ava) == 0
    return ava / "run"


def evaluate(run, ava, *more):
    report = ava / "report.json"
    words = [
        "evaluate",
        ava / "annotations" / "ava_val_v2.2.csv",
        "--checkpoint",
        run,
        "--media",
        ava / "trainval",
    ]
    status = main([*map(str, words), "--num_workers=0", f"--json={report}", *more])
    return json.loads(report.read_text()) if status == 0 else status


def refused(capsys, call, *arguments):
    assert call(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_run_keeps_the_best_epoch_by_frame_map(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert [epoch["step"] for epoch in metrics["epochs"]] == [2, 4]
    assert all(0 < epoch["val_map"] <= 1 for epoch in metrics["epochs"])
    assert metrics["failed"] == metrics["val_failed"] == []
    detector = ActionDetector.load(run)
    assert detector.labels == (("action 1", "action 3", "action 12"), (1, 3, 12))


def test_evaluate_finds_what_the_training_found(run, ava, capsys):
    metrics = json.loads((run / "metrics.json").read_text())
    found = evaluate(run, ava, f"--predictions={ava / 'found.csv'}")
    best = max(epoch["val_map"] for epoch in metrics["epochs"])
    assert found["frame_map"] == pytest.approx(best)
    counts = {row["action_id"]: row["annotated"] for row in found["per_class"]}
    assert counts == {1: 8, 3: 2, 12: 6}
    assert (found["num_frames"], found["num_boxes"], found["boxes"]) == (6, 12, "annotated")
    assert f"{100 * found['frame_map']:.2f}" in capsys.readouterr().out
    rows = list(csv.reader((ava / "found.csv").read_text().splitlines()))
    assert len(rows) == 12 * 3
    assert rows[0][:7] == ["val_0000000", "0901", "0.1", "0.2", "0.5", "0.9", "1"]
    assert all(0 < float(row[7]) < 1 for row in rows)


def test_detected_persons_and_measured_actions_may_be_given(run, ava):
    persons = ava / "persons.csv"
    persons.write_text(
        "val_0000000,901,0.11,0.2,0.5,0.9,,0.9\nval_0000000,901,0.6,0.1,0.9,0.9,,0.5\n"
        "elsewhere,901,0.6,0.1,0.9,0.9,,0.9\nval_0000001,903,0.0,0.0,0.1,0.1,,0.99\n"
    )
    labels = ava / "two.pbtxt"
    labels.write_text('item { name: "action 12" id: 12 }\nitem { name: "action 1" id: 1 }\n')
    excluded = ava / "excluded.csv"
    excluded.write_text("val_0000001,902\n")
    found = evaluate(run, ava, f"--actions.persons={persons}", f"--actions.labels={labels}",
                     f"--actions.excluded={excluded}")  # fmt: skip
    assert (found["num_boxes"], found["num_frames"], found["num_excluded"]) == (2, 5, 1)
    assert found["person_threshold"] == 0.8
    first, second = found["per_class"]
    assert (first["action_id"], first["annotated"]) == (1, 7)
    assert (second["action_id"], second["annotated"]) == (12, 5)
    shares = [row["average_precision"] * row["annotated"] for row in (first, second)]
    assert all(share in (pytest.approx(1), pytest.approx(0.5)) for share in shares)


def test_a_key_frame_that_cannot_be_read_is_counted_and_left_out(run, ava):
    found = evaluate(run, ava, "--actions.first_second=901.5")
    assert len(found["failed"]) == 2
    assert found["failed"][0].startswith(f"{ava}/trainval/val_0000000.mp4 second 901: ")
    assert {row["action_id"]: row["annotated"] for row in found["per_class"]} == {1: 4, 3: 2, 12: 4}


def test_what_the_task_does_not_know_is_refused(run, ava, capsys):
    cases = {
        ("--augmentation.mixup=0.8",): "augmentation.mixup (0.8) has no place in detector.name",
        ("--data.sampling=segments",): "data.sampling (segments) has no place in detector.name",
        ("--model.name=deit_tiny_distilled_patch16_224", "--model.semantic=null"): "reads 384",
        ("--detector.labels=null",): "missing detector.labels; give the label map",
    }
    for more, said in cases.items():
        assert said in refused(capsys, train, ava, "--output_dir=other", *more)
    for more, said in {
        "--num_clips=3": "num_clips (3) has no place in evaluating a detector of actions",
        "--subset=test": "subset (test) has no place in evaluating a detector of actions",
        "--window=2s": "window (2s) has no place in evaluating a detector of actions",
    }.items():
        assert said in refused(capsys, evaluate, run, ava, more)
    assert "none of the 6 key frames can be read; the first: " in refused(
        capsys, evaluate, run, ava, "--actions.first_second=0"
    )


def test_a_dry_run_needs_neither_films_nor_weights(ava, capsys, tmp_path):
    words = ["--model.name=demo_tiny", "--detector.name=actions", "--train.batch_size=2"]
    words += [f"--data.train={ava}/annotations/ava_train_v2.2.csv", "--data.num_workers=0"]
    words += [f"--output_dir={tmp_path / 'run'}", "--train.devices=cpu", "--dry_run=true"]
    status = main(["train", *words])
    assert status == 0
    assert "dry run: 2 steps and validations" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
