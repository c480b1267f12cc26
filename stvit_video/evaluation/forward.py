"""Run a model over what a loader serves, one batch behind the device.

Legend: B views in a batch, K classes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor


class ViewBatch(Protocol):
    """What a loader serves: views, stacked, and the videos that could not be read."""

    @property
    def clip(self) -> Tensor:
        """uint8 (B, C, T, H, W); of shape (0,) where every video of the batch failed."""

    @property
    def label(self) -> Tensor:
        """int64 (B,)."""

    @property
    def video_index(self) -> Tensor:
        """int64 (B,), on the CPU: position of the video in the data set."""

    @property
    def failures(self) -> Sequence[tuple[int, Any]]:
        """The videos that failed: (video_index, error) each."""


Served = TypeVar("Served", bound=ViewBatch)


class Answer(NamedTuple, Generic[Served]):
    """A batch and what the model says of it."""

    batch: Served
    logits: Tensor
    """(B, K) on the CPU; of shape (0,) where every video of the batch failed."""
    seconds: float
    """That the device worked on it."""


@torch.inference_mode()
def run_batches(
    run: Callable[[Tensor], Tensor],
    batches: Iterable[Served],
    *,
    device: torch.device,
    batch_size: int,
) -> Iterator[Answer[Served]]:
    """Answer each batch, `batch_size` views at a time, once the next is on the device.

    `run` makes logits (B, K) of uint8 clips (B, C, T, H, W) that are there.
    """
    started: _Started[Served] | None = None
    for batch in batches:
        following = _Started(run, batch, device, batch_size)
        if started is not None:  # waits for it while the following is made
            yield started.answer()
        started = following
    if started is not None:
        yield started.answer()


class _Started(Generic[Served]):
    """A batch that the device works on."""

    def __init__(
        self,
        run: Callable[[Tensor], Tensor],
        batch: Served,
        device: torch.device,
        batch_size: int,
    ) -> None:
        self.batch = batch
        self.begin = _Moment(device)
        self.logits = torch.empty(0)
        if len(batch.label):
            parts = [
                run(clip.to(device, non_blocking=True)) for clip in batch.clip.split(batch_size)
            ]
            self.logits = torch.cat(parts).float().to("cpu", non_blocking=device.type == "cuda")
        self.end = _Moment(device)

    def answer(self) -> Answer[Served]:
        return Answer(self.batch, self.logits, self.end.seconds_since(self.begin))


class _Moment:
    """When a device comes to this place in its work."""

    def __init__(self, device: torch.device) -> None:
        self.event: torch.cuda.Event | None = None
        self.time = time.perf_counter()
        if device.type == "cuda":
            self.event = torch.cuda.Event(enable_timing=True)
            self.event.record(torch.cuda.current_stream(device))

    def seconds_since(self, begin: "_Moment") -> float:
        """Wait for this place; return the time since the other."""
        if self.event is None or begin.event is None:
            return self.time - begin.time
        self.event.synchronize()
        return begin.event.elapsed_time(self.event) / 1000
