"""The tools that train detectors on garments: scenes, runs that are taken up, the page."""

import argparse
import dataclasses
import json
import sys
import time

import pytest
import torch

from stvit_video.models.registry import VARIANTS

pytestmark = pytest.mark.usefixtures("tools")


def test_boxes_and_masks_are_those_of_what_is_seen(pictures):
    from garment_scenes import NUM_DRAWS, SIZE, as_targets, draw_scenes

    drawn = torch.rand(6, NUM_DRAWS, generator=torch.Generator().manual_seed(0))
    scenes = draw_scenes(pictures, drawn)
    assert scenes.images.shape == (6, 3, SIZE, SIZE)
    assert ((scenes.images >= 0) & (scenes.images <= 1)).all()
    assert (scenes.masks.sum(dim=1) <= 1).all(), "a pixel belongs to one garment"
    again = draw_scenes(pictures, drawn[2:3])
    torch.testing.assert_close(again.images[0], scenes.images[2])
    targets = as_targets(scenes)
    assert sum(len(target["boxes"]) for target in targets) > 6
    for target in targets:
        for box, label, mask in zip(
            *(target[k] for k in ("boxes", "labels", "masks")), strict=True
        ):
            left, top, right, bottom = box.int().tolist()
            assert mask.sum() == mask[top:bottom, left:right].sum() >= 32
            for edge in (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]):
                assert edge.any()
            assert 1 <= label <= 10


@pytest.fixture
def options(images, tmp_path, monkeypatch):
    import detection_accuracy

    sizes = {"dim": 8, "num_heads": (1, 1, 2, 4), "depths": (1, 1, 6, 1)}
    row = dataclasses.replace(VARIANTS[detection_accuracy.NETWORK], **sizes)
    monkeypatch.setitem(VARIANTS, detection_accuracy.NETWORK, row)
    monkeypatch.setattr(detection_accuracy, "TEST_BATCH", 2)
    return argparse.Namespace(
        images=images,
        results=tmp_path / "results.jsonl",
        work=tmp_path,
        steps=2,
        batch_size=1,
        lr=1e-3,
        num_test=2,
        device="cpu",
    )


def test_reduced_networks_keep_as_many_tokens_and_recovery_costs_less_than_dense(options):
    from detection_accuracy import ROWS, build, count_macs

    macs = {row: count_macs(row) for row in ROWS}
    assert macs["dense"] > macs["recovered"] > macs["upsampled"] > macs["pooled"]
    image = torch.zeros(1, 3, 1, 224, 224)
    with torch.no_grad():
        levels = {
            row: [tuple(x.shape[3:]) for x in build(row).network.eval().forward_pyramid(image)]
            for row in ROWS
        }
    assert levels["recovered"] == levels["dense"] == [(56, 56), (28, 28), (14, 14), (7, 7)]
    assert levels["upsampled"] == levels["pooled"] == [(56, 56), (28, 28), (6, 6), (3, 3)]


def test_what_the_time_did_not_suffice_for_goes_on_and_the_page_shows_it(options, monkeypatch):
    import detection_accuracy
    import write_detection

    step, seen = detection_accuracy.train_step, []

    def train_step(*args, number, **how):
        seen.append(number)
        return step(*args, number=number, **how)

    monkeypatch.setattr(detection_accuracy, "train_step", train_step)
    detection_accuracy.run_row("pooled", 3, options, time.time() - 1)
    assert (seen, options.results.exists()) == ([], False)
    kept = torch.load(options.work / "pooled_2_3.pt", weights_only=True)
    assert kept["step"] == 0
    kept["step"] = 1
    torch.save(kept, options.work / "pooled_2_3.pt")
    detection_accuracy.run_row("pooled", 3, options, time.time() + 600)
    assert seen == [1]
    assert not (options.work / "pooled_2_3.pt").exists()
    (line,) = map(json.loads, options.results.read_text().splitlines())
    assert (line["row"], line["seed"], line["steps"]) == ("pooled", 3, 2)
    assert -1 <= line["test"]["bbox_map"] <= 100
    figures = dict.fromkeys(line["test"], 40.0)
    others = [
        line
        | {"row": "dense", "macs": 4 * 10**9, "test": figures | {"segm_map": 30.0 + n}, "seed": n}
        for n in (3, 4)
    ]
    others += [line | {"test": figures | {"segm_map": 21.0}}]
    others += [{"speed_of": "pooled", "ratio": 1.34, "where": "here"}]
    options.results.write_text("".join(json.dumps(entry) + "\n" for entry in others))
    page = options.work / "detection.md"
    monkeypatch.setattr(sys, "argv", ["x", str(options.results), str(page)])
    write_detection.main()
    text = page.read_text()
    assert "| dense | 2 | 4.00 |  | 40.0 ± 0.0 |" in " ".join(text.replace("-", "").split(" "))
    assert "33.5 ± 0.7" in text
    assert "-12.0" in text  # pooled, of the seed that both have
    assert (options.work / "detection_map.png").read_bytes()[1:4] == b"PNG"
