"""What the processes that train together tell each other."""

from typing import Any, TypeVar

from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, distributed

T = TypeVar("T")


def is_first_process() -> bool:
    """Whether this is none of the other processes that train together."""
    return getattr(rank_zero_only, "rank", 0) == 0


def summed(values: Tensor) -> Tensor:
    """Return the sum over all processes, which all must ask for."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(values)
    return values


def merged(own: dict[int, str]) -> dict[int, str]:
    """Return what the dictionaries of all processes hold, which all must ask for."""
    return {key: value for part in _of_all(own) for key, value in part.items()}


def gathered(own: list[T]) -> list[T]:
    """Return what the lists of all processes hold, which all must ask for."""
    return [item for part in _of_all(own) for item in part]


def _of_all(own: Any) -> list[Any]:
    if not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    every: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(every, own)
    return every
