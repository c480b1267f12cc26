"""From the items of a data set to a batch: packed by a worker, made whole where the model is.

Legend: B clips in a batch, C colours, T frames, S height and width of a clip.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stvit_video.datasets.clips import FailedVideo, Item, Sample
from stvit_video.video.pixels.planes import ClipPlanes, PlaneBatch, make_clips, stack_planes


class Batch(NamedTuple):
    """Views of videos, stacked; a video that failed has no row but a line in `failures`."""

    clip: Tensor
    """(B, C, T, S, S); of shape (0,) where every video of the batch failed."""
    label: Tensor
    """int64 (B,)."""
    video_index: Tensor
    """int64 (B,): position in the records of the data set."""
    view_index: Tensor
    """int64 (B,)."""
    failures: tuple[FailedVideo, ...] = ()


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


def collate_samples(items: Sequence[Item]) -> Parcel:
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
    in_worker = torch.utils.data.get_worker_info() is not None
    planes = [(row, s.clip) for row, s in enumerate(samples) if isinstance(s.clip, ClipPlanes)]
    clips = [(row, s.clip) for row, s in enumerate(samples) if isinstance(s.clip, Tensor)]
    labels = [(sample.label, sample.video_index, sample.view_index) for sample in samples]
    return Parcel(
        torch.stack([clip for _, clip in clips]) if clips else torch.empty(0),
        stack_planes([clip for _, clip in planes], share=in_worker) if planes else None,
        torch.tensor([row for row, _ in clips + planes], dtype=torch.int64),
        torch.tensor(labels, dtype=torch.int64).reshape(-1, 3).T.contiguous(),
        tuple(failures),
    )


class Delivery:
    """Brings parcels to a device and makes batches of them, beside what the device computes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream: torch.cuda.Stream | None = None

    def __call__(self, parcel: Parcel) -> Batch:
        """Return the batch, on the device; what follows on its current stream may read it."""
        if self.device.type != "cuda":
            return self._make(parcel)
        if self.stream is None:  # not before: the process may choose its GPU late
            self.stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(self.stream):
            batch = self._make(parcel)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self.stream)
        for tensor in batch[:4]:
            tensor.record_stream(current)
        return batch

    def _make(self, parcel: Parcel) -> Batch:
        clips, rows, labels = (
            tensor.to(self.device, non_blocking=True)
            for tensor in (parcel.clips, parcel.rows, parcel.labels)
        )
        if parcel.planes is not None:
            luma, chroma, numbers = (
                plane.to(self.device, non_blocking=True) for plane in parcel.planes[:3]
            )
            made = make_clips(PlaneBatch(luma, chroma, numbers, parcel.planes.size))
            clips = torch.cat([clips, made])[rows.argsort()] if len(clips) else made
        label, video_index, view_index = labels
        return Batch(clips, label, video_index, view_index, parcel.failures)
