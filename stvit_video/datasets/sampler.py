"""Decide which items a process serves, in which order, and with which random draws.

An item of one epoch is fully named by its key. Keys depend on the seed, the epoch and the item
alone, so an epoch does not depend on the number of workers and can be taken up in its middle.

Legend: I items that a process serves in an epoch.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

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


class FileSampler(Sampler[FileKey]):
    """Names files as they come, once; there may be no end of them."""

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Iterator[FileKey]:
        return itertools.starmap(FileKey, enumerate(self.paths))


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

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration serves; by default, the one after the last."""
        self.epoch = epoch

    def __len__(self) -> int:
        rank, num_processes = _rank_and_size()
        if not self.shuffle:
            return len(range(rank, self.num_items, num_processes))
        if self.num_items < num_processes:
            raise DatasetError(
                f"data set of {self.num_items} items is too small for {num_processes} processes"
            )
        return self.num_items // num_processes

    def __iter__(self) -> Iterator[ItemKey]:
        return EpochKeys(self)

    def order(self, epoch: int) -> Tensor:
        """Return the items of this process in `epoch`, in order: int64 (I,)."""
        rank, num_processes = _rank_and_size()
        num_mine = len(self)
        if not self.shuffle:
            return torch.arange(rank, self.num_items, num_processes)
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        order = torch.randperm(self.num_items, generator=generator)
        return order[rank::num_processes][:num_mine].clone()  # keeps no other process's share

    def key(self, item: int, epoch: int) -> ItemKey:
        """Return the key of an item in `epoch`; without `shuffle` it is that of every epoch."""
        return ItemKey(item, mix_seed(self.seed, epoch if self.shuffle else 0, item))


class EpochKeys(Iterator[ItemKey]):
    """The keys of one epoch, with a place in it that can be saved and returned to.

    Each key is made when it is asked for: of 10 million items, the order alone is kept.
    """

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler
        self.epoch = sampler.epoch
        self.served = 0
        self.order = sampler.order(self.epoch)  # (I,)

    def __next__(self) -> ItemKey:
        if self.served >= len(self.order):
            self._go_to_epoch(self.epoch + 1)
            raise StopIteration
        self.served += 1
        return self.sampler.key(int(self.order[self.served - 1]), self.epoch)

    def state_dict(self) -> dict[str, int]:
        """Return the place: epoch, and items of this process that were served."""
        return {"epoch": self.epoch, "served": self.served}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Return to a place; the sampler goes on with the epoch after it."""
        self.epoch, self.served = state["epoch"], state["served"]
        self.order = self.sampler.order(self.epoch)
        self._go_to_epoch(self.epoch + (self.served >= len(self.order)))

    def _go_to_epoch(self, epoch: int) -> None:
        """Never back: the user may have chosen a later one."""
        self.sampler.set_epoch(max(self.sampler.epoch, epoch))


def _rank_and_size() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
