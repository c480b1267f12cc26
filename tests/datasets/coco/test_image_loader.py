"""Batches of images: the same whoever reads them, in shares, and taken up in mid-epoch."""

import itertools
import os
import signal

import pytest
import torch

from stvit_video.datasets.coco.annotations import read_coco
from stvit_video.datasets.coco.batches import build_image_loader
from stvit_video.datasets.coco.images import CocoImages
from stvit_video.datasets.coco.tiny import write_tiny_coco
from stvit_video.errors import DatasetError, WorkerDiedError


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco") / "tiny"
    path = write_tiny_coco(root, num_images={"train": 7})["train"]
    return read_coco(path, root / "train2017", masks=True)


def _build(found, *, num_workers=0, shuffle=True, batch_size=2, **how):
    dataset = CocoImages(found, flip=0.5, keeps_crowds=False)
    how = {"num_workers": num_workers, "shuffle": shuffle, "batch_size": batch_size} | how
    return build_image_loader(dataset, seed=3, **how)


def _sums(batches):
    return [
        (i, int(image.sum()), target["boxes"].sum().item(), int(target["masks"].sum()))
        for batch in batches
        for i, image, target in zip(batch.index.tolist(), batch.images, batch.targets, strict=True)
    ]


def test_batches_do_not_depend_on_workers_and_epochs_differ(found):
    here, there = _build(found), _build(found, num_workers=2)
    first, second = _sums(here), _sums(here)
    assert _sums(there) == first
    assert _sums(there) == second
    assert sorted(i for i, *_ in first) == sorted(i for i, *_ in second) == list(range(7))
    assert first != second
    assert here.waited_seconds > 0


def test_an_epoch_goes_on_behind_the_last_batch(found):
    whole = _sums(_build(found))
    begun = _build(found)
    batches = iter(begun)
    assert _sums([next(batches)]) == whole[:2]
    assert begun.state_dict() == {"epoch": 0, "served": 2}
    resumed = _build(found, batch_size=1)
    resumed.load_state_dict(begun.state_dict())
    assert resumed.num_batches_left() == 5
    assert _sums(resumed) == whole[2:]
    assert len(_build(found, drop_last=True)) == 3


@pytest.mark.parametrize("num_processes", [2, 5])
def test_every_process_is_served_its_share_in_as_many_batches(found, monkeypatch, num_processes):
    served, counts = [], set()
    for rank in range(num_processes):
        monkeypatch.setattr(
            "stvit_video.datasets.sampler._rank_and_size", lambda rank=rank: (rank, num_processes)
        )
        batches = list(_build(found, shuffle=False, batch_size=1))
        counts.add(len(batches))
        served += [batch.index.tolist() for batch in batches]
    assert len(counts) == 1
    assert sorted(itertools.chain(*served)) == list(range(7))


def test_a_failed_image_has_no_place_in_its_batch_but_a_line(found):
    path = found.images[2].path
    content = path.read_bytes()
    path.write_bytes(content[:400])
    try:
        batches = list(_build(found, shuffle=False))
    finally:
        path.write_bytes(content)
    assert [batch.index.tolist() for batch in batches] == [[0, 1], [3], [4, 5], [6]]
    (failed,) = batches[1].failures
    assert failed.image_index == 2
    assert str(failed.error).startswith(f"{path}: damaged: ")
    assert len(batches[1].images) == len(batches[1].targets) == 1


@pytest.mark.filterwarnings("ignore:Exception ignored in")
def test_a_killed_worker_is_noticed(found):
    loader = _build(found, num_workers=1, batch_size=1)
    batches = iter(loader)
    next(batches)
    os.kill(loader._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="died"):
        list(batches)


def test_batches_move_to_a_device(found):
    (batch, *_) = _build(found, shuffle=False).on(torch.device("meta"))
    assert {image.device.type for image in batch.images} == {"meta"}
    assert {t.device.type for target in batch.targets for t in target.values()} == {"meta"}
    assert batch.index.device.type == "cpu"


def test_a_batch_size_that_cannot_be(found):
    with pytest.raises(DatasetError, match=r"batch_size \(0\) must be at least 1"):
        _build(found, batch_size=0)
    with pytest.raises(DatasetError, match=r"batch_size \(8\) is larger than the data set \(7 it"):
        _build(found, batch_size=8, drop_last=True)
