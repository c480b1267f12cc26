"""From the items of a data set to a batch: packed by a worker, made whole where the model is.

Legend: B clips in a batch, C colours, T frames, S height and width of a clip.
"""

from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from stvit_video.datasets.clips import FailedVideo, Item, Sample, VideoFacts
from stvit_video.datasets.slots import PinnedSlots, Slots
from stvit_video.video.pixels.planes import (
    ClipPlanes,
    PlaneBatch,
    TakeMemory,
    make_clips,
    new_memory,
    stack_planes,
)


class Batch(NamedTuple):
    """Views of videos, stacked; a video that failed has no row but a line in `failures`.

    Clips and labels are on the device, where the model reads them; the rest is for the host, which
    would have to wait for the device otherwise.
    """

    clip: Tensor
    """(B, C, T, S, S); of shape (0,) where every video of the batch failed."""
    label: Tensor
    """int64 (B,); with several labels a video float32 (B, K), 1 for each of its classes."""
    video_index: Tensor
    """int64 (B,): position in the records of the data set."""
    view_index: Tensor
    """int64 (B,)."""
    failures: tuple[FailedVideo, ...] = ()
    facts: tuple[VideoFacts, ...] = ()
    """(B,): of the video of each view."""


class Parcel(NamedTuple):
    """A batch on its way: clips that are finished, and planes of which the device makes clips."""

    clips: Tensor
    """The finished clips; of shape (0,) where there is none."""
    planes: PlaneBatch | None
    rows: Tensor
    """int64 (B,): places in the batch of the finished clips, then of those that are planes."""
    labels: Tensor
    """int64 (3, B): label, video index and view index."""
    failures: tuple[FailedVideo, ...]
    facts: tuple[VideoFacts, ...]
    """(B,): of the video of each view."""
    worker: int = -1
    """Which worker packed it; -1 for the process itself."""


class Packing:
    """Packs the items of a batch, in memory that a worker keeps."""

    def __init__(self, num_slots: int) -> None:
        """A worker fills `num_slots` pieces of memory in turn."""
        self.slots = Slots(num_slots)

    def __call__(self, items: Sequence[Item]) -> Parcel:
        """Pack: `Slots` says how long a reader may look at the planes."""
        worker = torch.utils.data.get_worker_info()
        if worker is None:
            return collate_samples(items)
        return collate_samples(items, take=self.slots.take)._replace(worker=worker.id)


def collate_samples(items: Sequence[Item], *, take: TakeMemory = new_memory) -> Parcel:
    """Stack the views of the items; keep the failed videos apart."""
    samples: list[Sample] = []
    failures = []
    for item in items:
        if isinstance(item, FailedVideo):
            failures.append(item)
        elif isinstance(item, Sample):
            samples.append(item)
        else:
            samples += item
    planes = [(row, s.clip) for row, s in enumerate(samples) if isinstance(s.clip, ClipPlanes)]
    clips = [(row, s.clip) for row, s in enumerate(samples) if isinstance(s.clip, Tensor)]
    labels = [(sample.label, sample.video_index, sample.view_index) for sample in samples]
    return Parcel(
        _stack([clip for _, clip in clips]),
        stack_planes([clip for _, clip in planes], take=take) if planes else None,
        torch.tensor([row for row, _ in clips + planes], dtype=torch.int64),
        torch.tensor(labels, dtype=torch.int64).reshape(-1, 3).T.contiguous(),
        tuple(failures),
        tuple(sample.facts for sample in samples),
    )


def _stack(clips: Sequence[Tensor]) -> Tensor:
    """Stack clips; one alone stays where it is."""
    if len(clips) == 1:
        return clips[0][None]
    return torch.stack(list(clips)) if clips else torch.empty(0)


class Delivery:
    """Brings parcels to a device and makes batches of them, beside what the device computes."""

    def __init__(self, device: torch.device, *, targets: Tensor | None = None) -> None:
        """Make batches on `device`; `targets` (L, K) say what each label stands for, if not itself.

        They are moved when a process first needs them, which may choose its GPU late.
        """
        self.device = device
        self.targets = None if targets is None else targets.float()
        self._stream: torch.cuda.Stream | None = None
        self._slots = PinnedSlots()
        self._copied: deque[torch.cuda.Event] = deque()

    def __call__(self, parcel: Parcel) -> Batch:
        """Return the batch, on the device; what follows on its current stream may read it."""
        if self.device.type != "cuda":
            return self._make(parcel)
        if self._stream is None:  # not before: the process may choose its GPU late
            self._stream = _delivery_stream(self.device)
        if parcel.planes is not None and parcel.planes.slot >= 0:
            self._slots.pin(parcel.planes.data, worker=parcel.worker, slot=parcel.planes.slot)
        with torch.cuda.stream(self._stream):
            batch = self._make(parcel)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._stream)
        for tensor in batch[:2]:
            tensor.record_stream(current)
        return batch

    def release_memory(self, *, but: int = 0) -> None:
        """Wait until all parcels but the last ones have left the memory that workers fill again."""
        while len(self._copied) > but:
            self._copied.popleft().synchronize()

    def _make(self, parcel: Parcel) -> Batch:
        label, video_index, view_index = parcel.labels
        clips, label = (t.to(self.device, non_blocking=True) for t in (parcel.clips, label))
        if self.targets is not None:
            self.targets = self.targets.to(self.device)
            label = self.targets[label]  # (B, K)
        if parcel.planes is not None:
            planes = parcel.planes.to(self.device)
            if self._stream is not None:
                self._copied.append(self._stream.record_event())
            made = make_clips(planes)  # (B, C, T, S, S)
            if len(clips):
                rows = parcel.rows.argsort().to(self.device, non_blocking=True)
                made = torch.cat([clips, made])[rows]
            clips = made
        return Batch(clips, label, video_index, view_index, parcel.failures, parcel.facts)


@cache
def _delivery_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all loaders: memory that was used on a stream is used again on that one alone."""
    return torch.cuda.Stream(device)
