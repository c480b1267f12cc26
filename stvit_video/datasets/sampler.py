"""Decide which items a process serves, in which order, and with which random draws.

An item of one epoch is fully named by its key. Keys depend on the seed, the epoch and the item
alone, so an epoch does not depend on the number of workers and can be taken up in its middle.

Legend: I items that a process serves in an epoch.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.utils.data import Sampler

from stvit_video.errors import DatasetError
from stvit_video.video.seeded import mix_seed


class ItemKey(NamedTuple):
    """What a data set is asked for: which item, and the seed of its random choices."""

    item: int
    seed: int


class FileKey(NamedTuple):
    """What a reader without a list of videos is asked for."""

    item: int
    """Place of the file among those that are named."""
    path: str | Path


class Place(NamedTuple):
    """How far a training is, whatever the number of processes and the size of a batch."""

    epoch: int
    """Counted from 0."""
    served: int
    """Items of this epoch that all processes together were served."""


class KeySampler(Sampler[Any]):
    """Names items as they come, once; there may be no end of them."""

    def __init__(self, keys: Iterable[Any]) -> None:
        self.keys = keys

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys)


class EpochSampler(Sampler[ItemKey]):
    """The share of one process in one epoch; processes never serve the same item twice.

    With `shuffle` the order changes every epoch, and every process serves equally many items, so
    that all take equally many steps: the up to `num_processes - 1` items left over differ from
    epoch to epoch. Without it every item is served exactly once, in order, and shares may differ
    by one.

    The process group is asked when an epoch starts, so a sampler may be built before it exists.
    """

    def __init__(self, num_items: int, *, shuffle: bool, seed: int) -> None:
        self.num_items = num_items
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self.served = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration serves; by default, the one after the last."""
        self.epoch = epoch

    def go_to(self, place: Place) -> None:
        """Let the next iteration serve the rest of an epoch."""
        self.epoch, self.served = place

    def __len__(self) -> int:
        rank, num_processes = _rank_and_size()
        if not self.shuffle:
            return len(range(rank, self.num_items, num_processes))
        if self.num_items < num_processes:
            raise DatasetError(
                f"data set of {self.num_items} items is too small for {num_processes} processes"
            )
        return self.num_items // num_processes

    @property
    def largest_share(self) -> int:
        """How many items the first process serves: none serves more."""
        return len(self) if self.shuffle else -(-self.num_items // _rank_and_size()[1])

    def __iter__(self) -> Iterator[ItemKey]:
        epoch, served, self.served = self.epoch, self.served, 0
        for item in self.order(epoch, served=served):  # of 10 million items, the order alone
            yield self.key(int(item), epoch)
        self.epoch = max(self.epoch, epoch + 1)  # the user may have chosen a later one

    def places(self, batch_size: int, *, drop_last: bool) -> Iterator[Place]:
        """Yield the place behind each batch of the next iteration; at its end, the next epoch.

        There are as many in every process; where shares differ, the last batch may be empty.
        """
        epoch, served = self.epoch, self.served
        num_processes = _rank_and_size()[1]
        left = self.num_items - served
        left = left // num_processes if self.shuffle else -(-left // num_processes)
        num_batches = left // batch_size if drop_last else -(-left // batch_size)
        for number in range(1, num_batches):
            yield Place(epoch, served + number * batch_size * num_processes)
        yield Place(epoch + 1, 0)

    def order(self, epoch: int, *, served: int = 0) -> Tensor:
        """Return the items of this process in `epoch`, in order: int64 (I,).

        Those that all processes together were `served` are left out.
        """
        rank, num_processes = _rank_and_size()
        if not self.shuffle:
            return torch.arange(served + rank, self.num_items, num_processes)
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        order = torch.randperm(self.num_items, generator=generator)[served:]
        num_mine = min(len(self), len(order) // num_processes)  # refuses too few for all
        return order[rank::num_processes][:num_mine].clone()  # keeps no other process's share

    def key(self, item: int, epoch: int) -> ItemKey:
        """Return the key of an item in `epoch`; without `shuffle` it is that of every epoch."""
        return ItemKey(item, mix_seed(self.seed, epoch if self.shuffle else 0, item))


class Share(NamedTuple):
    """What one of several processes does of a work that may have been begun."""

    rank: int
    """Of this process, from 0."""
    num_processes: int
    left: Tensor
    """int64 (any number,): the items that are not done, ascending."""


class ShareSampler(Sampler[list[ItemKey]]):
    """The batches of a `Share`: every item that is left, in the batch of one process.

    A batch holds what is left of `batch_size` neighbours of all items, so that batches are the same
    ones for any number of processes, and after a stop behind any of them.
    """

    def __init__(self, share: Share, *, batch_size: int) -> None:
        _, sizes = (share.left // batch_size).unique_consecutive(return_counts=True)
        batches = share.left.split(sizes.tolist())
        self.batches = batches[share.rank :: share.num_processes]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[ItemKey]]:
        for batch in self.batches:
            yield [ItemKey(item, mix_seed(0, 0, item)) for item in batch.tolist()]


def _rank_and_size() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
