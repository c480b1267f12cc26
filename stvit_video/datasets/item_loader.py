"""A loader of any items, as exactly shared and resumable as that of clips.

Their batches are tuples of tensors that bring themselves to a device.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stvit_video.datasets.loader import VideoLoader, check_batch_size, make_loader
from stvit_video.datasets.sampler import EpochSampler


class ItemBatch(Protocol):
    """What a loader serves."""

    @property
    def failures(self) -> Sequence[Any]:
        """What could not be read."""

    def to(self, device: torch.device) -> Self:
        """Bring what a network reads to a device."""


class ItemDelivery:
    """Brings batches to a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, batch: ItemBatch) -> ItemBatch:
        """Return the batch, on the device."""
        return batch.to(self.device)

    def release_memory(self, *, but: int = 0) -> None:
        """Do nothing: no worker fills memory again."""


class ItemLoader(VideoLoader):
    """A `VideoLoader` of batches other than of clips."""

    if TYPE_CHECKING:  # it serves what `collate` makes

        def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
            """Serve one pass."""

    def on(self, device: torch.device | None, *, targets: Tensor | None = None) -> Self:
        """Serve batches on a device."""
        self.delivery = ItemDelivery(device or torch.device("cpu"))
        return self


def build_item_loader(
    dataset: Any,
    collate: Callable[[Sequence[Any]], ItemBatch],
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool,
    seed: int,
    drop_last: bool = False,
    prefetch_batches: int = 2,
) -> ItemLoader:
    """Return a loader of what `collate` makes of items; all else is as in `build_loader`."""
    check_batch_size(batch_size, num_items=len(dataset), drop_last=drop_last)
    return make_item_loader(
        dataset,
        EpochSampler(len(dataset), shuffle=shuffle, seed=seed),
        collate=collate,
        batch_size=batch_size,
        num_workers=num_workers,
        drop_last=drop_last,
        prefetch_batches=prefetch_batches,
    )


def make_item_loader(dataset: Dataset[Any], sampler: Any, **how: Any) -> ItemLoader:
    """Return a loader of the items that a sampler names; `how` is that of `make_loader`."""
    loader = make_loader(dataset, sampler, kind=ItemLoader, **how)
    assert isinstance(loader, ItemLoader)
    return loader
