"""Batches of clips: seeded, exactly shared between processes, and resumable in mid-epoch.

Legend: B clips in a batch, T H W frames and pixels, C colours.
"""

import gc
import itertools
import signal
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stvit_video.datasets.batches import Batch, Delivery, Packing
from stvit_video.datasets.clips import Item, VideoDataset
from stvit_video.datasets.sampler import (
    EpochSampler,
    ItemKey,
    KeySampler,
    Place,
    Share,
    ShareSampler,
)
from stvit_video.datasets.worker_death import noticing_dead_workers
from stvit_video.errors import DatasetError, WorkerDiedError


class VideoLoader(DataLoader[Any]):
    """A data loader that measures how long its user waits for data.

    `state_dict()` and `load_state_dict()` save and restore the place inside an epoch. The place is
    the number of items that all processes were served, so that another number of workers or
    processes, or another batch size, goes on behind them.
    """

    waited_seconds: float = 0.0
    """Time spent waiting for batches since the last iteration began."""
    raises: bool = False
    """Raise the error of a video that cannot be read, instead of serving a batch without it."""
    clips_per_item: int = 1
    """Clips that an item of the data set holds."""
    delivery: Any
    """Makes batches of what the workers pack; a `Delivery`, or an `ItemDelivery`."""
    place = Place(0, 0)
    """Behind the batch that was served last."""
    _iterator: Any
    """Of the parent class: it holds the workers."""

    def state_dict(self) -> dict[str, int]:
        """Return the place in the epoch, that of the last batch included."""
        return self.place._asdict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Return to a place in an epoch."""
        self.place = Place(**state)
        assert isinstance(self.sampler, EpochSampler)
        self.sampler.go_to(self.place)

    def on(self, device: torch.device | None, *, targets: Tensor | None = None) -> Self:
        """Serve batches on a device, which finishes clips that workers left as planes.

        `targets` are those of a manifest with several labels a video.
        """
        self.delivery = Delivery(device or torch.device("cpu"), targets=targets)
        return self

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # its own is a class
        """Serve one pass.

        Under torch.distributed every process is served as many batches, the last perhaps empty:
        what the processes do together in a step, none of them does alone.

        Raises:
            WorkerDiedError: a worker was killed; the next iteration starts new ones.
            VideoDecodeError: a video cannot be read, where the loader `raises`.
        """
        self.waited_seconds = 0.0
        start = time.perf_counter()
        for place, batch in zip(self._places(), self._batches(), strict=False):
            self.place = place
            self.waited_seconds += time.perf_counter() - start
            if batch.failures and self.raises:
                raise batch.failures[0].error
            yield batch
            start = time.perf_counter()

    def __len__(self) -> int:
        """Return how many batches an epoch has, the same number in every process."""
        if isinstance(self.sampler, EpochSampler) and not self.drop_last:
            assert self.batch_size is not None
            return -(-self.sampler.largest_share // self.batch_size)
        return super().__len__()

    def num_batches_left(self) -> int:
        """Return how many batches the next iteration serves."""
        return sum(1 for _ in self._places_left())

    def _places_left(self) -> Iterator[Place]:
        assert isinstance(self.sampler, EpochSampler)
        assert self.batch_size is not None
        return self.sampler.places(self.batch_size, drop_last=self.drop_last)

    def _places(self) -> Iterator[Place]:
        """Yield the place behind each batch; there is none where files have no end."""
        if isinstance(self.sampler, EpochSampler):
            yield from self._places_left()
        yield from itertools.repeat(self.place)

    def _batches(self) -> Iterator[Batch]:
        is_shared = isinstance(self.sampler, EpochSampler) and not self.sampler.shuffle
        left = self.num_batches_left() if is_shared else 0
        for batch in self._batches_read():
            yield batch
            left -= 1
        for _ in range(left):
            yield self.delivery(self.collate_fn([]))

    def _batches_read(self) -> Iterator[Batch]:
        self.delivery.release_memory()  # of a pass that was broken off
        try:
            with noticing_dead_workers(self.num_workers, self._workers):
                parcels = super().__iter__()
            while True:
                self.delivery.release_memory(but=1)
                with noticing_dead_workers(self.num_workers, self._workers):
                    parcel = next(parcels, None)
                if parcel is None:
                    return
                yield self.delivery(parcel)
        except WorkerDiedError:
            for worker in self._workers():
                worker.kill()  # they may wait for what the dead one held
            self._iterator = None
            raise

    def _get_iterator(self) -> Any:
        """Make the parent's iterator, whose queues must live until it has told its workers to end.

        In a cycle of garbage (the traceback of an error is one) they could be finalised before it:
        it would then write to file descriptors that were closed, or are another's by then.
        """
        gc.collect(1)  # of what was dropped lately: the next line keeps the rest for long
        gc.freeze()  # a collection in a worker would write to, and so copy, all that it inherits
        iterator = super()._get_iterator()
        gc.unfreeze()
        queues = list(getattr(iterator, "_index_queues", ()))
        weakref.finalize(iterator, queues.clear).atexit = False
        return iterator

    def _workers(self) -> list[BaseProcess]:
        return getattr(self._iterator, "_workers", [])


def build_loader(
    dataset: VideoDataset,
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool,
    seed: int,
    drop_last: bool = False,
    prefetch_batches: int = 2,
    start_method: str | None = None,
) -> VideoLoader:
    """Return a loader of `Batch`es; `batch_size` counts items of the data set.

    Under torch.distributed each process gets its own share (see `EpochSampler`), so no other
    sampler must be put in its place. Workers use one thread each, prepare `prefetch_batches`
    batches ahead each, and live as long as the loader, from pass to pass; `start_method` is that of
    multiprocessing (`fork`, `spawn`, `forkserver`; None for Python's default).
    """
    check_batch_size(batch_size, num_items=len(dataset), drop_last=drop_last)
    loader = make_loader(
        _Reader(dataset),
        EpochSampler(len(dataset), shuffle=shuffle, seed=seed),
        batch_size=batch_size,
        num_workers=num_workers,
        drop_last=drop_last,
        prefetch_batches=prefetch_batches,
        start_method=start_method,
    )
    loader.raises = dataset.on_decode_error == "raise"
    loader.clips_per_item = dataset.num_views if dataset.whole_videos else 1
    return loader


def build_share_loader(
    dataset: VideoDataset,
    share: Share,
    *,
    batch_size: int,
    num_workers: int,
    prefetch_batches: int = 2,
) -> VideoLoader:
    """Return a loader that serves the items of a share once, in order (see `ShareSampler`)."""
    loader = make_loader(
        _Reader(dataset),
        batches=ShareSampler(share, batch_size=batch_size),
        num_workers=num_workers,
        prefetch_batches=prefetch_batches,
    )
    loader.raises = dataset.on_decode_error == "raise"
    return loader


def build_key_loader(
    dataset: Dataset[Item],
    keys: Iterable[Any],
    *,
    batch_size: int,
    num_workers: int,
    prefetch_batches: int = 2,
) -> VideoLoader:
    """Return a loader that serves the items of `keys` once, in order, `batch_size` at a time.

    They are asked for as workers get free: `prefetch_batches` batches ahead for each.
    """
    return make_loader(
        dataset,
        KeySampler(keys),
        batch_size=batch_size,
        num_workers=num_workers,
        prefetch_batches=prefetch_batches,
    )


def make_loader(  # noqa: PLR0913 what every loader is made by
    dataset: Dataset[Any],
    sampler: Sampler[Any] | None = None,
    *,
    num_workers: int,
    prefetch_batches: int,
    batch_size: int = 1,
    batches: Sampler[Any] | None = None,
    drop_last: bool = False,
    start_method: str | None = None,
    kind: type[VideoLoader] = VideoLoader,
    collate: Callable[[Sequence[Any]], Any] | None = None,
) -> VideoLoader:
    """Return a loader of a kind, whose workers make its parcels by `collate`; by default, clips."""
    loader = kind(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=collate or Packing(prefetch_batches + 2),
        pin_memory=torch.cuda.is_available(),
        drop_last=drop_last,
        worker_init_fn=_set_up_worker,
        prefetch_factor=prefetch_batches if num_workers else None,
        multiprocessing_context=start_method if num_workers else None,
        persistent_workers=num_workers > 0,
    )
    return loader.on(None)


def check_batch_size(batch_size: int, *, num_items: int, drop_last: bool) -> None:
    """Refuse a size of batches that none can have.

    Raises:
        DatasetError: it is below 1, or no batch is ever full.
    """
    if batch_size < 1:
        raise DatasetError(f"batch_size ({batch_size}) must be at least 1")
    if drop_last and batch_size > num_items:
        raise DatasetError(
            f"batch_size ({batch_size}) is larger than the data set ({num_items} items)"
        )


class _Reader(Dataset[Item]):
    """Lets errors leave a worker as items: raised there, they would lose their type and fields."""

    def __init__(self, videos: VideoDataset) -> None:
        self.videos = videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: ItemKey) -> Item:
        return self.videos.read(key)


def _set_up_worker(worker_id: int) -> None:
    """Use one thread; leave it to the main process what a signal to all of them means."""
    torch.set_num_threads(1)
    for number in (signal.SIGINT, getattr(signal, "SIGUSR1", signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which may be how it is ended
