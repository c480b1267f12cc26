"""Processes that torchrun started for one evaluation, on one machine or several."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from torch import distributed

from stvit_video.errors import StvitVideoError, WorkerDiedError

Made = TypeVar("Made")
_STARTED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LONGEST = timedelta(days=30)
"""That a process may wait for the slowest; one that died is noticed at once."""


class Team(NamedTuple):
    """This process, and how many there are; alone, it is the first of one."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def from_first(self, make: Callable[[], Made]) -> Made:
        """Return in every process what the first one makes; what the user can mend, all raise."""
        told: list[Any] = [_try(make) if self.is_first else None]
        if self.size > 1:
            with _noticing_death():
                distributed.broadcast_object_list(told)
        return _take(told[0])

    def from_all(self, make: Callable[[], Made]) -> list[Made]:
        """Return in every process what each one makes; what one of them raises, all do."""
        own = _try(make)
        told: list[Any] = [own]
        if self.size > 1:
            told = [None] * self.size
            with _noticing_death():
                distributed.all_gather_object(told, own)
        return [_take(one) for one in told]


@contextmanager
def joined_team() -> Iterator[Team]:
    """Join the processes that torchrun started, until the block ends; without it, be alone.

    An error that the user can mend is told by the first process; the others end with its status.
    """
    if not is_launched():
        yield Team()
        return
    distributed.init_process_group("gloo", timeout=_LONGEST)
    team = Team(distributed.get_rank(), distributed.get_world_size())
    try:
        yield team
    except (StvitVideoError, KeyboardInterrupt) as error:
        if team.is_first:
            raise
        is_stop = isinstance(error, KeyboardInterrupt)
        raise SystemExit(getattr(error, "exit_status", 130) if is_stop else 2) from error
    finally:
        distributed.destroy_process_group()


def is_launched() -> bool:
    """Whether torchrun started this process, among others."""
    return os.environ.keys() >= set(_STARTED) and int(os.environ["WORLD_SIZE"]) > 1


def is_first_process() -> bool:
    """Whether it is the first of them, or alone."""
    return not is_launched() or os.environ["RANK"] == "0"


@contextmanager
def _noticing_death() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # the connection to it is closed
        raise WorkerDiedError("another process of this evaluation has died") from error


def _try(make: Callable[[], Made]) -> Made | StvitVideoError:
    try:
        return make()
    except StvitVideoError as error:
        return error


def _take(told: Any) -> Any:
    if isinstance(told, StvitVideoError):
        raise told
    return told
