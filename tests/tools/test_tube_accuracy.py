"""The tool that trains detectors of actions on moving garments."""

import argparse
import json
import sys
import time

import pytest
import torch

pytestmark = pytest.mark.usefixtures("tools")


def test_boxes_follow_what_moves_and_labels_say_what_and_how(pictures):
    from moving_garments import NUM_DRAWS, draw_clips
    from tube_accuracy import KEY_FRAME, draw_tubes

    drawn = torch.rand(5, NUM_DRAWS, generator=torch.Generator().manual_seed(4))
    clip, boxes, labels = draw_tubes(pictures, drawn)
    same, label = draw_clips(pictures, drawn)
    assert torch.equal(clip, same)
    assert torch.equal(labels.sum(dim=2), torch.full((5, 2), 2.0))
    assert torch.equal(labels[:, 0, :10].argmax(1) * 8 + labels[:, 0, 10:].argmax(1), label)
    sides = boxes[..., 2:] - boxes[..., :2]
    assert ((sides > 8) & (sides < 32)).all()
    assert (sides[:, 1] < sides[:, 0]).all(), "the distractor is smaller"
    light = pictures._replace(pixels=torch.ones_like(pictures.pixels))
    clip, _, _ = draw_tubes(light, drawn)  # garments that fill their boxes
    for frame, (left, top, right, bottom) in zip(clip[:, 0, KEY_FRAME], boxes[:, 0], strict=True):
        inside = frame[int(top) + 2 : int(bottom) - 1, int(left) + 2 : int(right) - 1]
        assert inside.std() < 1e-3


@pytest.fixture
def options(images, tmp_path):
    return argparse.Namespace(
        images=images,
        results=tmp_path / "results.jsonl",
        steps=1,
        batch_size=2,
        lr=1e-3,
        num_test=4,
        device="cpu",
    )


def test_a_row_is_trained_tested_and_kept_or_given_up(options, monkeypatch, capsys):
    import tube_accuracy

    monkeypatch.setattr(tube_accuracy, "TEST_BATCH", 4)
    tube_accuracy.run_row("recovered", 0, options, time.time() - 1)
    assert capsys.readouterr().out == "recovered, seed 0: given up at step 0, no time\n"
    tube_accuracy.run_row("recovered", 0, options, time.time() + 600)
    (line,) = map(json.loads, options.results.read_text().splitlines())
    assert set(line["test"]) == {"map", "garment", "motion"}
    assert all(0 < figure <= 100 for figure in line["test"].values())
    assert line["macs"] == 594546048


def test_a_training_that_ends_in_nan_is_named_as_such_on_the_page(options, monkeypatch):
    import tube_accuracy
    import write_tubes
    from tube_accuracy import build

    def build_broken(row):
        network = build(row)
        network.blocks[3].mlp.fc1.weight.data[0, 0] = float("nan")
        return network

    monkeypatch.setattr(tube_accuracy, "build", build_broken)
    options.steps = 3
    tube_accuracy.run_row("dense", 1, options, time.time() + 600)
    (line,) = map(json.loads, options.results.read_text().splitlines())
    assert (line["test"], line["diverged_at"]) == (None, 0)
    assert "blocks.3.mlp.fc1.weight" in line["diverged_in"]
    whole = [
        line | {"row": row, "seed": seed, "test": {"map": value, "garment": 20.0, "motion": 60.0}}
        for row, seed, value in (("dense", 0, 40.0), ("dense", 2, 44.0), ("averaged", 2, 41.5))
    ]
    options.results.write_text("".join(json.dumps(x) + "\n" for x in (line, *whole)))
    page = options.results.with_suffix(".md")
    monkeypatch.setattr(sys, "argv", ["x", str(options.results), str(page)])
    write_tubes.main()
    text = page.read_text()
    assert "no numbers: `dense`, 3 steps, seed 1." in text
    assert "| dense | 2 | 1.13 | 42.0 ± 2.8 | 20.0 ± 0.0 | 60.0 ± 0.0 | - |" in text
    assert (
        "| averaged, `average:grid=4x4x4,block=3` | 1 | 1.13 | 41.5 | 20.0 | 60.0 | -2.5 |" in text
    )


def test_a_difference_that_rounds_to_zero_has_no_sign():
    from rows_of_seeds import difference

    dense = [{"seed": seed, "test": {"map": 40.0}} for seed in (0, 1)]
    own = [{"seed": seed, "test": {"map": 40.0 + x}} for seed, x in ((0, -0.22), (1, 0.18))]
    assert difference(own, dense, "map") == "0.0 ± 0.3"
    assert difference(own[1:], dense, "map") == "+0.2"
    assert difference(dense, dense, "map") is None


def test_what_is_certain_is_found(pictures):
    from tube_accuracy import NUM_CLASSES, as_actions

    from stvit_video.detection.actions.frame_ap import frame_average_precision

    boxes = torch.tensor([[[0.0, 0, 9, 9], [20, 20, 40, 40]]]).repeat(3, 1, 1)
    labels = (
        torch.rand(3, 2, NUM_CLASSES, generator=torch.Generator().manual_seed(1)) > 0.5
    ).float()
    truth = as_actions(boxes, labels, least=0.5)
    assert len(truth.frame) == labels.sum()
    right = frame_average_precision(as_actions(boxes, labels), truth, num_classes=NUM_CLASSES)
    wrong = frame_average_precision(as_actions(boxes, 1 - labels), truth, num_classes=NUM_CLASSES)
    assert right[labels.sum(dim=(0, 1)).numpy() > 0].min() == 1.0
    assert wrong.min() < 0.9
