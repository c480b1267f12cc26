"""Batches of items that are no views of videos: as exactly shared and resumable as those."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from stvit_video.datasets.batches import Delivery
from stvit_video.datasets.loader import ItemReader, Items, VideoLoader, make_loader
from stvit_video.datasets.sampler import EpochSampler


def build_item_loader(
    dataset: Items,
    collate: Callable[[Sequence[Any]], Any],
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool,
    seed: int,
    prefetch_batches: int = 2,
) -> VideoLoader:
    """Return what `build_loader` does, of batches that `collate` makes; each has `failures`.

    They stay on the CPU. Of a shuffled epoch the items that fill no batch are left out.
    """
    loader = make_loader(
        ItemReader(dataset),
        EpochSampler(len(dataset), shuffle=shuffle, seed=seed),
        batch_size=batch_size,
        num_workers=num_workers,
        drop_last=shuffle and len(dataset) > batch_size,
        prefetch_batches=prefetch_batches,
    )
    loader.collate_fn = collate
    loader.delivery = _Unchanged(torch.device("cpu"))
    return loader


class _Unchanged(Delivery):
    """Hands batches on as they are."""

    def __call__(self, parcel: Any) -> Any:
        """Return the batch."""
        return parcel
