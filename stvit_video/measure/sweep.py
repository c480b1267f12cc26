"""Try batch sizes until the memory ends, and step back where it did."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPoint(Generic[Result]):
    """Outcome at one batch size."""

    batch_size: int
    result: Result | None
    """None where the memory did not suffice."""


def sweep_batches(
    measure: Callable[[int], Result], batch_sizes: Iterable[int]
) -> list[SweepPoint[Result]]:
    """Measure rising batch sizes; on out-of-memory halve the gap to the last that fitted, and stop.

    Sizes 8, 16, 32 with memory for 25 give 8, 16, 32 (failed), 24: the half-way size is tried once.
    When even the first size fails it is halved until one fits, or 1 fails.
    """
    points: list[SweepPoint[Result]] = []
    fitted = 0
    for batch_size in sorted(set(batch_sizes)):
        result = _try(measure, batch_size)
        points.append(SweepPoint(batch_size=batch_size, result=result))
        if result is not None:
            fitted = batch_size
            continue
        retry = (fitted + batch_size) // 2
        while fitted < retry < batch_size:
            result = _try(measure, retry)
            points.append(SweepPoint(batch_size=retry, result=result))
            if result is not None or fitted:
                break
            retry //= 2
        break
    return points


def _try(measure: Callable[[int], Result], batch_size: int) -> Result | None:
    try:
        return measure(batch_size)
    except torch.OutOfMemoryError:
        pass
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # what the CPU allocator says
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
