"""Epochs taken up in their middle by Lightning, and workers that are spawned."""

import logging
import warnings

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.loader import build_loader
from stvit_video.datasets.records import VideoRecord
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.video.numbered import numbered_picture, write_pictures
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.sampling.scheme import SamplingScheme


class _Recorder(LightningModule):
    """Learns nothing and writes down what it is fed."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_index):
        fed = (batch.video_index.tolist(), float(batch.clip.float().sum()))
        self.seen.append((self.global_step, self.current_epoch, fed))
        return self.weight * 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Nine records of one 64x48 video of 23 frames."""
    path = tmp_path_factory.mktemp("video") / "23.mp4"
    write_pictures(path, (numbered_picture(i, width=64, height=48) for i in range(23)))
    return [VideoRecord(path, 0)] * 9


def _loader(records, **settings):
    dataset = VideoDataset(
        records,
        sample=SamplingScheme(num_frames=3, frame_stride=2, random=True),
        transform=build_transform(
            Preprocessing(num_frames=3, frame_stride=2, image_size=16),
            augmentation=AugmentationConfig(),
            normalize=False,
        ),
    )
    return build_loader(dataset, batch_size=2, shuffle=True, seed=5, **settings)


def _fit(recorder, loader, folder, **settings):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[ModelCheckpoint(dirpath=folder, every_n_train_steps=2, save_top_k=-1)],
        )
        trainer.fit(recorder, loader, **settings)


def test_lightning_goes_on_in_the_middle_of_an_epoch_with_the_next_batch(records, tmp_path):
    whole = _Recorder()
    _fit(whole, _loader(records, num_workers=0), tmp_path / "whole")
    assert [epoch for _, epoch, _ in whole.seen] == [0] * 5 + [1] * 5 + [2] * 5
    assert whole.seen[:5] != whole.seen[5:10]
    (checkpoint,) = (tmp_path / "whole").glob("*step=8.ckpt")  # three batches into epoch 1
    resumed = _Recorder()
    _fit(resumed, _loader(records, num_workers=0), tmp_path / "resumed", ckpt_path=checkpoint)
    assert resumed.seen == whole.seen[8:]


@pytest.mark.slow  # transforms that cannot travel are caught by tests/video/test_transform.py
def test_spawned_workers_serve_the_same_clips(records):
    here = [batch.clip for batch in _loader(records, num_workers=0)]
    spawned = [batch.clip for batch in _loader(records, num_workers=1, start_method="spawn")]
    for clip, expected in zip(spawned, here, strict=True):
        assert torch.equal(clip, expected)
