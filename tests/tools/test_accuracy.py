"""The tools that train networks on moving garments and show what token reduction costs."""

import gzip
import json
import sys
from pathlib import Path

import pytest
import torch

from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.measure.flops import count_flops
from stvit_video.video.decoding.open import read_frames

pytestmark = pytest.mark.usefixtures("tools")


def test_parts_share_no_picture(images):
    import moving_garments

    parts = moving_garments.load_pictures(images, torch.device("cpu"), "middle")
    grey = {name: (255 * part.pixels[:, 3, 5]).round().int() for name, part in parts.items()}
    assert {name: len(values) for name, values in grey.items()} == {
        "train": 8,
        "validation": 5,
        "test": 7,
    }
    seen = torch.cat([grey["train"], grey["validation"]]).tolist()
    assert sorted(seen) == list(range(13))
    assert grey["test"].tolist() == list(range(100, 107))
    for name, part in parts.items():
        assert torch.equal(part.garment, (grey[name] % 10).long())


def test_missing_and_other_files_are_refused_in_one_line(images):
    from moving_garments import load_pictures

    labels = images / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(bytes(15)))
    with pytest.raises(SystemExit, match=r"t10k-labels\S+ is not the published file: [^\n]+$"):
        load_pictures(images, torch.device("cpu"), "plain")
    labels.unlink()
    with pytest.raises(SystemExit, match=r"t10k-labels\S+ does not exist; --images must [^\n]+$"):
        load_pictures(images, torch.device("cpu"), "plain")


def test_a_garment_moves_as_its_label_says():
    import moving_garments as task

    scene = task.Scene(speeds=(1.0, 2.5), clutter=(0, 0), drift=0)
    ways = torch.tensor([(0, 1), (0, -1), (1, 0), (-1, 0)]).float()
    tall = torch.zeros(28, 28)
    tall[:, 7:21] = 1
    pictures = task.Pictures(  # the second is invisible
        pixels=torch.stack([tall, torch.zeros(28, 28)]),
        garment=torch.tensor([7, 3]),
        velocity=torch.stack([speed * way for way in ways for speed in scene.speeds]),
        scene=scene,
    )
    numbers = torch.rand(80, task.NUM_DRAWS, generator=torch.Generator().manual_seed(0))
    numbers[:, 0], numbers[:, 9] = 0, 0.99  # which garment, and which distractor
    numbers[:, 4:6] = 0.5  # halfway in the middle
    clips, labels = task.draw_clips(pictures, numbers)
    assert clips.shape == (80, 3, 8, 64, 64)
    assert set((labels // 8).tolist()) == {7}
    assert set((labels % 8).tolist()) == set(range(8))
    light = clips.sum(dim=1)  # (B, T, H, W)
    pixel = torch.arange(64) + 0.5
    height, width = ((light.amax(dim=axis) > 0).sum(dim=-1) for axis in (3, 2))
    assert torch.all(height > 1.5 * width)
    whole = light.sum(dim=(2, 3))
    center = torch.stack(
        [(light.sum(dim=3) * pixel).sum(-1) / whole, (light.sum(dim=2) * pixel).sum(-1) / whole], -1
    )  # (B, T, 2)
    step = center.diff(dim=1)
    assert torch.allclose(center.mean(dim=1), torch.tensor(32.0), atol=0.1)
    way = ways[labels % 8 // 2]
    speed = (step * way[:, None]).sum(-1)
    assert torch.allclose(step, speed[..., None] * way[:, None], atol=0.1)
    wanted = torch.tensor(scene.speeds)[labels % 2]
    assert torch.all((speed.mean(dim=1) / wanted - 1).abs() < 0.17)
    assert speed.std(dim=1).max() < 0.1
    assert task.class_name(7 * 8 + 2 * 1 + 1) == "sneaker moving fast to the left"


def test_rivals_have_the_multiply_adds_of_the_default():
    from accuracy_rows import DEFAULT, ROWS, build

    clip = torch.rand(1, 3, 8, 64, 64)
    macs = {
        row.name: count_flops(build(row).eval(), clip).macs
        for row in ROWS.values()
        if row.group == "main" and row.setting and row.has_static_shapes
    }
    default = macs[DEFAULT.name]
    for name in macs:
        assert macs[name] == pytest.approx(default, rel=0.06 if name == "64@2" else 0.04)
    assert count_flops(build(ROWS["dense, 4 blocks"]).eval(), clip).macs > default


def test_videos_lie_as_kinetics_and_show_what_was_drawn(tmp_path, images):
    import garment_videos
    import moving_garments as task

    test = task.load_pictures(images, torch.device("cpu"), "middle")["test"]
    garment_videos.write_videos(test, tmp_path / "test", 11, seed=2)
    names = [task.class_name(label) for label in range(task.NUM_CLASSES)]
    assert len(set(names)) == 80
    manifest = find_class_folders(tmp_path / "test", class_names=names)
    numbers = torch.rand(11, task.NUM_DRAWS, generator=torch.Generator().manual_seed(2))
    clips, labels = task.draw_clips(test, numbers)
    found = {Path(record.path).name: record for record in manifest.records}
    assert sorted(found) == [f"{i:011d}_000000_000001.mp4" for i in range(11)]
    for i, name in enumerate(sorted(found)):
        assert found[name].label == labels[i]
        frames = read_frames(found[name].path, range(8))  # (T, H, W, C)
        drawn = 255 * clips[i].permute(1, 2, 3, 0)
        assert (frames.float().mean(dim=-1) - drawn.mean(dim=-1)).abs().mean() < 4


@pytest.fixture
def tiny(tools, monkeypatch):
    """Narrow networks, tested on few clips."""
    import accuracy_rows
    import accuracy_training

    monkeypatch.setattr(accuracy_rows, "WIDTH", 24)
    monkeypatch.setattr(accuracy_training, "NUM_VALIDATION_CLIPS", 5)
    monkeypatch.setattr(accuracy_training.Trainer, "seconds_per_step", lambda self: 1e-3)


def run(monkeypatch, images, folder, *words):
    import accuracy

    words = ["--results", folder / "r.jsonl", "--weights", folder / "weights", *words]
    words += ["--images", images, "--steps", 20, "--batch_size", 3, "--processes", 1]
    monkeypatch.setattr(sys, "argv", ["accuracy.py", *map(str, words)])
    accuracy.main()
    return accuracy.read_results(folder / "r.jsonl")


@pytest.mark.usefixtures("tiny")
def test_what_is_finished_is_not_trained_again(monkeypatch, images, tmp_path, capsys):
    import accuracy

    rows = ["--rows", "dense", "64@3, from dense", "--device", "cpu"]
    assert run(monkeypatch, images, tmp_path, *rows, "--seeds", 0, "--seconds", 0) == []
    first = run(monkeypatch, images, tmp_path, *rows, "--seeds", 0)
    assert [(line["row"], line["seed"], line["own_steps"]) for line in first] == [
        ("dense", 0, 20),
        ("64@3, from dense", 0, 2),
    ]
    assert (first[0]["untrained"], len(first[1]["untrained"])) == (None, 3)
    assert first[1]["curve"][0][0] == 0
    assert first[1]["macs"] < first[0]["macs"]
    trained = []
    real = accuracy.run_seed
    monkeypatch.setattr(
        accuracy,
        "run_seed",
        lambda t, seed, o: trained.append((t.row.name, seed)) or real(t, seed, o),
    )
    again = run(monkeypatch, images, tmp_path, *rows, "--seeds", 1, 0)
    assert trained == [("dense", 1), ("64@3, from dense", 1)]
    assert again[:2] == first
    assert len(again) == 4
    other = run(monkeypatch, images, tmp_path, *rows[:2], "--seeds", 0, "--scene", "hard")
    assert other[4]["scene"] == "hard"
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny")
def test_a_training_whose_weights_are_no_numbers_is_kept_as_excluded_and_run_again(
    monkeypatch, images, tmp_path
):
    words = ["--rows", "dense", "--device", "cpu", "--seeds", 0]
    (line,) = run(monkeypatch, images, tmp_path, *words, "--lr", "1e30")
    assert line["test"] is None
    last = int(line["curve"][-1][0])  # and no step is made after it
    assert line["excluded"] == f"its weights are no numbers any more at step {last}"
    assert last < line["own_steps"]
    first, second = run(monkeypatch, images, tmp_path, *words)
    assert first == line
    assert (second["seed"], second["excluded"], len(second["test"])) == (0, None, 3)


@pytest.mark.usefixtures("tiny")
def test_a_seed_begins_anew_and_dense_weights_are_taken_over(images):
    from accuracy_rows import DENSE, ROWS
    from accuracy_training import Schedule, Trainer
    from moving_garments import load_pictures

    parts = load_pictures(images, torch.device("cpu"), "plain")
    trainer = Trainer(DENSE, parts, Schedule(steps=6, batch_size=3, lr=0.01), mode="eager")

    def weights_after(seed):
        list(trainer.fit(seed))
        return {name: value.clone() for name, value in trainer.model.state_dict().items()}

    first, other, again = weights_after(0), weights_after(1), weights_after(0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert trainer.test("test") == trainer.test("test")

    schedule = Schedule(steps=30, batch_size=3)
    tuned = Trainer(ROWS["tome:r=20, from dense"], parts, schedule, mode="eager")
    steps = tuned.fit(0, first)
    assert next(steps)[0] == 0
    assert all(torch.equal(first[name], value) for name, value in tuned.model.state_dict().items())
    assert [step for step, _ in steps] == [1, 2, 3]


@pytest.mark.usefixtures("tiny")
def test_speed_is_measured_beside_the_dense_row(monkeypatch, images, tmp_path):
    lines = run(monkeypatch, images, tmp_path, "--rows", "4x2x2@2", "--speed", "--device", "cpu")
    assert [line["speed_of"] for line in lines] == ["dense", "4x2x2@2"]
    assert lines[0]["ratio"] == 1
    assert all(line["clips_per_second"] > 0 for line in lines)


def line_of(row, seed, both, **others):
    line = {"row": row, "scene": "middle", "steps": 70, "seed": seed, "macs": 500e6, "lr": 1e-3}
    line |= {"own_steps": 7, "batch_size": 5, "where": "here", "untrained": None}
    curve = [[35, 20, 30, both / 2], [70, 50, 60, both]]
    return line | {"curve": curve, "test": [81.25, 71.5, both]} | others


def test_the_page_tells_what_the_file_holds(monkeypatch, tmp_path):
    import write_accuracy

    lines = [
        *(line_of("dense", seed, both, macs=1000e6) for seed, both in ((0, 60.0), (1, 63.0))),
        *(line_of("4x4x4@2", seed, both) for seed, both in ((0, 61.0), (1, 68.0), (2, 90.0))),
        line_of("4x4x4@2", 3, 10.0, excluded="it broke"),
        line_of("64@3, from dense", 1, 62.5, untrained=[1, 2, 58.0]),
        line_of("64@3", 0, 99.0, scene="plain"),
        {"speed_of": "dense", "clips_per_second": 3000.0, "ratio": 1.0},
        {"speed_of": "4x4x4@2", "clips_per_second": 5400.0, "ratio": 1.8},
    ]
    file, page = tmp_path / "r.jsonl", tmp_path / "accuracy.md"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(sys, "argv", ["write_accuracy.py", str(file), str(page)])
    write_accuracy.main()
    text = page.read_text()
    assert "| `dense` | 1000 | +0 | 3000 | 1.00 | 81.2 | 71.5 | 61.5 | 2.1 | +0.0 | 2 |" in text
    assert "A training of `4x4x4@2` is left out and was run again: it broke." in text
    # of seeds 0 and 1: +1 and +5
    assert "| `4x4x4@2` | 500 | -50 | 5400 | 1.80 | 81.2 | 71.5 | 73.0 | 15.1 | +3.0 | 3 |" in text
    assert "| `64@3` | -50 | -5.0 | -0.5 | - | - | 1 |" in text
    assert "99.0" not in text
    for name in ("accuracy_costs_70.png", "accuracy_curves_70.png"):
        assert f"({name})" in text
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    file.write_text("")
    with pytest.raises(SystemExit, match=r"r\.jsonl holds no tested row of scene middle$"):
        write_accuracy.main()
