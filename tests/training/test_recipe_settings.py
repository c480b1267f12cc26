"""What recipes set, in whole runs: they go on bitwise, and the rate follows the step."""

import json

import pytest
import torch
from rich.console import Console

from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.training.checkpoints import list_checkpoints
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.run import run_training

VIDEOMAE = {
    "augmentation": AugmentationConfig(
        flip=0.0,
        rand_augment="rand-m7-n2-mstd0.5-inc1",
        rand_augment_on="frame",
        mixup=0.8,
        cutmix=1.0,
    ),
    "optimizer": OptimizerConfig(
        lr=0.05, lr_per_videos=256, min_lr=0.001, warmup_epochs=1, layer_decay=0.8
    ),
    "train": {"batch_size": 4, "clips_per_video": 2, "share_frames": True},
}
SGD = {
    "augmentation": AugmentationConfig(
        crop="scale_jitter", flip=0.0, color_jitter=0.4, color_probability=0.8, gray=0.3
    ),
    "optimizer": OptimizerConfig(
        name="sgd",
        nesterov=True,
        lr=0.05,
        schedule="step",
        milestones=(1, 2),
        warmup_epochs=0,
        backbone_lr=0.5,
    ),
    "train": {"batch_size": 2},
}


def settings(videos, recipe, **train):
    return RunConfig(
        model=ModelConfig(
            name="demo_tiny", num_frames=2, image_size=32, drop_path=0.2, head_dropout=0.5
        ),
        data=DataConfig(train=videos, num_workers=0),
        augmentation=recipe["augmentation"],
        optimizer=recipe["optimizer"],
        train=TrainConfig(devices="cpu", epochs=3, **recipe["train"] | train),
    )


def train(run, run_dir):
    run_training(run, run_dir, console=Console(stderr=True), label="run")
    return torch.load(list_checkpoints(run_dir / "checkpoints")[0], weights_only=True)


@pytest.fixture
def dies_at_step(monkeypatch):
    """Let the training fail at its n-th step, once."""

    class DiedError(Exception):
        pass

    step = VideoClassifier.training_step

    def at(number):
        left = iter(range(number))

        def training_step(module, batch, batch_index):
            if next(left, None) is None:
                monkeypatch.setattr(VideoClassifier, "training_step", step)
                raise DiedError
            return step(module, batch, batch_index)

        monkeypatch.setattr(VideoClassifier, "training_step", training_step)
        return DiedError

    return at


@pytest.mark.parametrize("recipe", [VIDEOMAE, SGD])
def test_a_run_that_died_amid_an_epoch_ends_as_one_that_did_not(
    class_folder_root, tmp_path, dies_at_step, recipe
):
    whole = train(settings(class_folder_root, recipe), tmp_path / "whole")
    run = settings(class_folder_root, recipe, checkpoint_minutes=1e-9)
    with pytest.raises(dies_at_step(3)):
        train(run, tmp_path / "parts")
    parts = train(run, tmp_path / "parts")
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(parts[key], whole[key], rtol=0, atol=0)


def test_a_run_that_goes_on_with_larger_steps_learns_faster_in_proportion(
    class_folder_root, tmp_path, dies_at_step
):
    run = settings(class_folder_root, VIDEOMAE, checkpoint_minutes=1e-9)
    with pytest.raises(dies_at_step(3)):
        train(run, tmp_path)
    groups = train(settings(class_folder_root, VIDEOMAE, batch_size=8), tmp_path)[
        "optimizer_states"
    ][0]["param_groups"]
    last = 0.001 / 0.05 + (1 - 0.001 / 0.05) * 0.5  # the middle of the cosine: an epoch of one step
    assert max(group["lr"] for group in groups) == pytest.approx(0.05 * 4 / 256 * last)


def test_a_step_schedule_is_seen_in_the_rates_of_the_epochs(class_folder_root, tmp_path):
    train(settings(class_folder_root, SGD), tmp_path)
    epochs = json.loads((tmp_path / "metrics.json").read_text())["epochs"]
    assert [epoch["lr"] for epoch in epochs] == pytest.approx([0.05, 0.005, 0.0005])
