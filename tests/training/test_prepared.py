"""What is prepared of the settings of each task brings its batches to where the model is."""

import pytest
import torch

from stvit_video.datasets.ava.tiny import LABEL_MAP, write_tiny_ava
from stvit_video.datasets.coco.tiny import write_tiny_coco
from stvit_video.datasets.tiny import write_tiny_dataset
from stvit_video.settings.data import DataConfig
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import RunConfig, TrainConfig
from stvit_video.training import prepare_actions, prepare_images, prepare_videos

COUNTS = {"train": 2, "val": 2}


def videos(root):
    return write_tiny_dataset(root, "", num_videos=COUNTS), DetectorConfig()


def images(root):
    media = {f"{part}_media": root / f"{part}2017" for part in COUNTS}
    return write_tiny_coco(root, num_images=COUNTS) | media, DetectorConfig(name="faster_rcnn")


def actions(root):
    found = write_tiny_ava(root, num_frames=COUNTS)
    labels = found["train"].with_name(LABEL_MAP)
    media = dict.fromkeys(("train_media", "val_media"), root / "trainval")
    return found | media, DetectorConfig(name="actions", labels=labels, first_second=900.0)


@pytest.mark.parametrize(
    ("write", "room", "prepare"),
    [
        (videos, prepare_videos, prepare_videos.prepare_videos),
        (images, prepare_images, prepare_images.prepare_images),
        (actions, prepare_actions, prepare_actions.prepare_actions),
    ],
)
def test_batches_go_where_the_model_will_be(write, room, prepare, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "feeding_device", lambda train: torch.device("meta"))
    data, detector = write(tmp_path / "data")
    prepared = prepare(
        RunConfig(
            model=ModelConfig(name="demo_tiny"),
            data=DataConfig(**data, num_workers=0),
            train=TrainConfig(batch_size=2, devices="cpu"),
            detector=detector,
        )
    )
    for loader in (prepared.train_loader, prepared.val_loader):
        assert loader.delivery.device == torch.device("meta")
