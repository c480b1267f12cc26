"""Settings without a place in a task are refused by name; what is turned off never is."""

import pytest

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import DistillConfig, RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig

PLAIN = {"model": ModelConfig(name="demo_tiny"), "data": DataConfig()}


@pytest.mark.parametrize(
    ("task", "settings", "line"),
    [
        (None, {"data": DataConfig(val_media=".")}, "data.val_media is for detectors; set"),
        (
            None,
            {"detector": {"min_size": 320}},
            "detector.min_size is for detectors; set detecto",
        ),
        (
            "mask_rcnn",
            {"augmentation": AugmentationConfig(cutmix=1.0)},
            "augmentation.cutmix is for clips; detector.name mask_rcnn reads images",
        ),
        (
            "retinanet",
            {"detector": {"labels": "pyproject.toml"}},
            "detector.labels is for clips; detector.name retinanet reads images",
        ),
        (
            "faster_rcnn",
            {"train": TrainConfig(compile=True)},
            "train.compile is for clips; detector.name faster_rcnn reads images",
        ),
        (
            "actions",
            {"train": TrainConfig(strategy="fsdp")},
            "train.strategy (fsdp) is for classifiers; detector.name actions",
        ),
        (
            "actions",
            {"train": TrainConfig(compile=True)},
            "train.compile (True) has no place in detector.name actions, which reads boxes of",
        ),
        ("actions", {"views": ViewConfig(num_clips=3)}, "views.num_clips (3) has no place in"),
        ("actions", {"distill": DistillConfig(tokens=1.0)}, "distill.tokens (1.0) has no place in"),
        (
            "actions",
            {"detector": {"score_threshold": 0.3}},
            "detector.score_threshold (0.3) has no place in detector.name actions",
        ),
        (
            "actions",
            {"model": ModelConfig(name="demo_tiny", attentive_blocks=4)},
            "model.attentive_blocks (4) has no place in detector.name actions",
        ),
    ],
)
def test_a_setting_without_a_place_is_named(task, settings, line):
    own = settings.pop("detector", {})
    with pytest.raises(ConfigError) as raised:
        RunConfig(**{**PLAIN, **settings}, detector=DetectorConfig(name=task, **own))
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize("task", [None, "mask_rcnn", "actions"])
def test_what_is_off_and_what_the_task_knows_is_taken(task):
    media = {} if task is None else {"train_media": "."}
    run = RunConfig(
        model=ModelConfig(name="demo_tiny", attentive_blocks=0),
        data=DataConfig(num_workers=0, **media),
        augmentation=AugmentationConfig(flip=0.0),
        train=TrainConfig(compile=False, ema_decay=0.9),
        detector=DetectorConfig(name=task),
    )
    assert run.train.compile is False
