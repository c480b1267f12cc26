"""Memory on the way from a worker to a GPU that is made once and filled again and again.

New shared memory for every batch costs the worker a fault a page, and the training process another,
and a copy into memory that the GPU can read. Kept, it costs neither: the GPU reads where the worker
has written.
"""

import torch
from torch import Tensor, UntypedStorage

_PAGE = 1 << 20


class Slots:
    """The pieces of memory of one worker, filled in turn.

    A piece is filled anew after as many others as there are, so the reader must be done with it by
    then: with two pieces more than a worker has batches on the way, when the second batch after it
    is taken.
    """

    def __init__(self, count: int) -> None:
        self._kept: list[UntypedStorage | None] = [None] * count
        self._next = 0

    def take(self, num_bytes: int) -> tuple[Tensor, int]:
        """Return uint8 memory that processes share, and the number of its slot."""
        slot, self._next = self._next, (self._next + 1) % len(self._kept)
        storage = self._kept[slot]
        if storage is None or storage.nbytes() < num_bytes:
            room = -(-num_bytes * 5 // 4 // _PAGE) * _PAGE  # the next batch may be larger
            storage = torch.UntypedStorage._new_shared(room, device="cpu")
            self._kept[slot] = storage
        return torch.empty(0, dtype=torch.uint8).set_(storage)[:num_bytes], slot


class PinnedSlots:
    """What the process that feeds a GPU has been given, made readable for the GPU."""

    def __init__(self) -> None:
        self._pinned: dict[tuple[int, int], _Pinned] = {}

    def pin(self, data: Tensor, *, worker: int, slot: int) -> None:
        """Keep the memory behind `data`, in place of what the worker had in this slot before."""
        known = self._pinned.get((worker, slot))
        storage = data.untyped_storage()
        if known is None or known.storage.data_ptr() != storage.data_ptr():
            self._pinned.pop((worker, slot), None)
            self._pinned[worker, slot] = _Pinned(storage)


class _Pinned:
    def __init__(self, storage: UntypedStorage) -> None:
        self.storage = storage
        self._runtime = torch.cuda.cudart()
        self._runtime.cudaHostRegister(storage.data_ptr(), storage.nbytes(), 0)

    def __del__(self) -> None:
        self._runtime.cudaHostUnregister(self.storage.data_ptr())
