"""A training looks at everything before its first file, and has its folder to itself."""

import io
import json
import shutil
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from rich.console import Console

from stvit_video.errors import ConfigError, DatasetError, StvitVideoError
from stvit_video.files import holding
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.training.callbacks import EpochReport
from stvit_video.training.run import run_training


def run(
    data: Path,
    run_dir: Path,
    *,
    model: ModelConfig | None = None,
    console: Console | None = None,
    optimizer: OptimizerConfig | None = None,
    **train: object,
) -> None:
    settings = RunConfig(
        model=model or ModelConfig(name="demo_tiny", num_frames=2, image_size=32),
        data=DataConfig(train=data, num_workers=0),
        augmentation=AugmentationConfig(flip=0.0),
        optimizer=optimizer or OptimizerConfig(),
        train=TrainConfig(**({"devices": "cpu", "epochs": 1, "batch_size": 3} | train)),
    )
    run_training(settings, run_dir, console=console or Console(stderr=True), label="run")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"devices": 100},
            f"train.devices (100) must be at most the {torch.cuda.device_count()} GPUs of this"
            " machine, or auto, or cpu",
        ),
        ({"resume": True}, "{}/checkpoints holds no checkpoint; start without --train.resume true"),
        (
            {"model": ModelConfig(name="demo_tiny", semantic="9x9x9@1")},
            "semantic grid 9x9x9 is larger than the token grid 4x8x8 along time: 9 > 4; choose at"
            " most 4",
        ),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_written(
    class_folder_root, tmp_path, settings, text
):
    with pytest.raises(StvitVideoError) as caught:
        run(class_folder_root, tmp_path / "run", **settings)
    assert str(caught.value) == text.format(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_class_is_nothing_to_learn(class_folder_root, tmp_path):
    shutil.copytree(class_folder_root / "waving", tmp_path / "data" / "waving")
    with pytest.raises(DatasetError) as caught:
        run(tmp_path / "data", tmp_path / "run")
    assert str(caught.value) == (
        f"data.train ({tmp_path / 'data'}) holds the class 'waving' alone;"
        " training needs at least 2 classes"
    )
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused_and_left_as_it_is(class_folder_root, tmp_path):
    with holding(tmp_path), pytest.raises(ConfigError) as caught:
        run(class_folder_root, tmp_path)
    assert str(caught.value).startswith(f"output_dir ({tmp_path}) is in use by another run; ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_run_folder(class_folder_root, tmp_path):
    path = tmp_path / "run"
    path.touch()
    with pytest.raises(StvitVideoError) as caught:
        run(class_folder_root, path)
    assert str(caught.value) == (
        f"output_dir ({path}) cannot be written: {path} is a file, no folder"
    )


def test_a_model_that_came_while_the_data_was_read_is_not_overwritten(
    class_folder_root, tmp_path, monkeypatch
):
    def finish_the_other_run(*_: object, **__: object) -> None:
        (tmp_path / "model.safetensors").write_text("of another run")

    monkeypatch.setattr("stvit_video.training.run.check_start", finish_the_other_run)
    with pytest.raises(ConfigError, match="already holds a model"):
        run(class_folder_root, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_no_worker_is_started_twice(class_folder_root, tmp_path, monkeypatch):
    started = []
    start = BaseProcess.start
    monkeypatch.setattr(BaseProcess, "start", lambda process: (started.append(1), start(process)))
    settings = RunConfig(
        model=ModelConfig(name="demo_tiny", num_frames=2, image_size=32),
        data=DataConfig(train=class_folder_root, val=class_folder_root, num_workers=2),
        augmentation=AugmentationConfig(flip=0.0),
        train=TrainConfig(devices="cpu", epochs=3, batch_size=3),
    )
    run_training(settings, tmp_path, console=Console(stderr=True), label="run")
    assert len(started) == 2 + 2  # of the training and of the validation


def test_waiting_training_is_told_what_helps(class_folder_root, tmp_path, monkeypatch):
    monkeypatch.setattr(EpochReport, "data_wait_share", 0.5)
    console = Console(file=io.StringIO(), width=60)
    run(class_folder_root, tmp_path, console=console)
    assert console.file.getvalue().splitlines()[4] == (
        f"training waited for data 50 % of the time; `stvit-video data rate {class_folder_root}`"
        f" says why; the files are not prepared: `stvit-video data prepare {class_folder_root} OUT"
        " --for dense --stride 1`"
    )


@pytest.mark.parametrize("share_frames", [False, True])
def test_a_step_is_told_and_its_videos_make_the_learning_rate(
    class_folder_root, tmp_path, share_frames
):
    console = Console(file=io.StringIO(), width=60)
    optimizer = OptimizerConfig(lr=0.01, lr_per_videos=256, warmup_epochs=1)
    step = {"batch_size": 4, "clips_per_video": 2, "accumulate_steps": 3}
    run(
        class_folder_root,
        tmp_path,
        console=console,
        optimizer=optimizer,
        share_frames=share_frames,
        **step,
    )
    told = console.file.getvalue().splitlines()
    assert told[:2] == [
        "0.7 million weights, 2 classes",
        "5 videos: 1 step an epoch, 1 in all, on cpu",
    ]
    assert told[2] == (
        "a step reads 6 videos, 12 clips (4 clips x 3 batches); highest learning rate 0.0002344"
        " (0.01 x 6 / 256)"
    )
    (epoch,) = json.loads((tmp_path / "metrics.json").read_text())["epochs"]
    assert epoch["lr"] == pytest.approx(0.01 * 6 / 256)
