"""Every recipe trains two steps and validates, dense and semantic, on a network of few channels.

Its own optimiser, schedule, augmentation, sampling and semantic setting run.
"""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from stvit_video import read_frames
from stvit_video.cli import main
from stvit_video.datasets.from_settings import read_videos
from stvit_video.datasets.tiny import write_tiny_dataset
from stvit_video.models import registry
from stvit_video.models.families.swin.variant import SwinVariant
from stvit_video.report.json_file import as_plain
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import DistillConfig, OptimizerConfig, RunConfig, TrainConfig
from stvit_video.training.dry_run import shorten
from stvit_video.training.resume import changed_settings

ROOT = Path(__file__).parents[2] / "configs"
RECIPES = sorted(ROOT.rglob("*.yaml"))
SMALL = ["--data.num_workers", "0", "--train.devices", "cpu", "--train.accumulate_steps", "1"]
SMALL += ["--train.precision", "32-true"]  # many processors are slow with bfloat16


def semantic_of(path):
    found = re.search(r"^# Semantic: --model.semantic (\S+)", path.read_text(), re.MULTILINE)
    return found[1] if found else None


def is_slow(path):
    return any(kind in path.stem for kind in ("rcnn", "swin"))


RUNS = [
    pytest.param(path, None, marks=pytest.mark.slow if semantic_of(path) and is_slow(path) else ())
    for path in RECIPES
]
RUNS += [(path, semantic) for path in RECIPES if (semantic := semantic_of(path))]


@pytest.fixture
def few_channels(monkeypatch):
    """Give every network as few channels as its heads can have."""
    for name, row in registry.VARIANTS.items():
        change = {"dim": 12, "num_heads": 3}
        if isinstance(row, SwinVariant):
            change = {"dim": 12, "num_heads": (1, 1, 1, 1), "depths": (2, 2, 6, 2)}
        monkeypatch.setitem(registry.VARIANTS, name, dataclasses.replace(row, **change))


@pytest.mark.parametrize(
    ("path", "semantic"), RUNS, ids=lambda value: value.stem if isinstance(value, Path) else value
)
def test_every_recipe_trains_two_steps(path, semantic, few_channels, tmp_path, capsys):
    size = "96" if "swin" in path.stem else "64"
    batch = str(2 * yaml.safe_load(path.read_text())["train"].get("clips_per_video", 1))
    settings = ["--config", str(path), *SMALL, "--model.image_size", size]
    settings += ["--train.batch_size", batch, "--json", str(tmp_path / "metrics.json")]
    settings += [] if semantic is None else ["--model.semantic", semantic]
    settings += ["--output_dir", str(tmp_path / "runs" / "x")]
    if path.parent.name == "coco":
        settings += ["--detector.min_size", "64", "--detector.max_size", "96"]
        settings += ["--detector.train_min_sizes", "[48]"]
    status = main(["train", *settings, "--dry_run", "true"])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert "teacher" not in "".join(lines)
    assert re.fullmatch(r"dry run: 2 steps and validations in \d+ s", lines[-1])
    epochs = json.loads((tmp_path / "metrics.json").read_text())["epochs"]
    figure = "val_map" if path.parent.name in ("ava", "coco") else "val_top1"
    assert [(epoch["step"], epoch[figure] is not None) for epoch in epochs] == [
        (1, True),
        (2, True),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_dry_run_keeps_every_setting_but_what_makes_it_short():
    run = RunConfig(
        model=ModelConfig(name="demo_tiny", pretrained="some/weights", drop_path=0.2),
        data=DataConfig(train="a.csv", val="b.csv", sampling="segments"),
        optimizer=OptimizerConfig(
            name="sgd", schedule="step", milestones=(11, 14), warmup_epochs=3, weight_decay=0.2
        ),
        train=TrainConfig(
            epochs=15, batch_size=6, clips_per_video=2, seed=3, loggers=("csv", "wandb")
        ),
        distill=DistillConfig(teacher="some/model", weight=0.3),
    )
    dry = shorten(run, {"train": Path("c.csv"), "val": Path("d.csv")})
    assert changed_settings(as_plain(run), as_plain(dry)) == {
        "data.train": ("a.csv", "c.csv"),
        "data.val": ("b.csv", "d.csv"),
        "distill.teacher": ("some/model", None),
        "model.pretrained": ("some/weights", None),
        "optimizer.milestones": ([11, 14], pytest.approx([11 * 2 / 15, 14 * 2 / 15])),
        "optimizer.warmup_epochs": (3, 0.4),
        "train.epochs": (15, 2),
        "train.keep_checkpoints": (2, 1),
        "train.loggers": (["csv", "wandb"], ["csv"]),
        "train.resume": ("auto", False),
    }


DEMO = [*("--model.name", "demo_tiny", "--model.image_size", "32"), *SMALL]


def test_a_dry_run_says_that_it_leaves_the_teacher_out(tmp_path, capsys):
    (tmp_path / "teacher").mkdir()
    words = [*DEMO, "--train.batch_size", "2", "--distill.teacher", str(tmp_path / "teacher")]
    words += ["--output_dir", str(tmp_path / "run"), "--dry_run", "true"]
    assert main(["train", *words]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "without the teacher, which knows other classes than the tiny videos"


def test_the_first_process_alone_writes_the_figures(tmp_path, monkeypatch):
    monkeypatch.setattr("stvit_video.training.processes.is_first_process", lambda: False)
    words = [*DEMO, "--train.batch_size", "2", "--json", str(tmp_path / "metrics.json")]
    words += ["--output_dir", str(tmp_path / "run"), "--dry_run", "true"]
    assert main(["train", *words]) == 0
    assert not (tmp_path / "metrics.json").exists()


def test_a_dry_run_is_refused_in_one_line_where_nothing_can_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    settings = ["--model", "demo_tiny", "--dry_run", "true"]
    assert main(["train", *settings, "--output_dir", str(tmp_path / "file" / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "num_classes", "first"),
    [
        ("kinetics600", 600, "train/00000000000_000010_000020.mp4"),
        ("something_something_v2", 174, "train/0.webm"),
        ("my_videos", 2, "train/class 0/0.mp4"),
    ],
)
def test_tiny_videos_lie_as_those_of_the_data_set(tmp_path, name, num_classes, first):
    found = write_tiny_dataset(tmp_path / "data", name, num_videos={"train": 5, "val": 1})
    videos, val = read_videos(found["train"]), read_videos(found["val"])
    assert (len(videos.records), videos.num_classes, val.num_classes) == (
        5,
        num_classes,
        num_classes,
    )
    assert videos.records[0].path == tmp_path / "data" / first
    assert read_frames(videos.records[4].path, [39]).shape == (1, 72, 96, 3)
