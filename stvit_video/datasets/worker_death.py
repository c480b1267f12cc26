"""Turn the death of a loader's worker into one error, raised where a batch is waited for.

The handler that torch sets for the end of a child process looks at all loaders and raises wherever
the program is by then: in the middle of a step, of a checkpoint, of its own clean-up. Here it is
put out of force, and ours looks at one loader, while one waits for it.
"""

import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType

from stvit_video.errors import WorkerDiedError

_AT_START = re.compile(r"DataLoader worker \(pid\S* ([\d, ]+)\)")
_BROKEN_OFF = re.compile("Pin memory thread exited|items of ancdata")
"""What is raised, besides EOFError and ConnectionError, where a worker dies while it sends."""
_MEMORY = "memory is the usual cause: lower num_workers ({})"
_SHARED_MEMORY = "shared memory (/dev/shm) ran out: enlarge it, or lower num_workers ({})"
_DECODER = "a file may bring its decoder down: `stvit-video data scan` finds it"
_NEXT_STEPS = {"": _MEMORY, "Killed": _MEMORY, "Bus error": _SHARED_MEMORY}
_PATIENCE_SECONDS = 10.0
"""A process that crashes is dead only once its memory is written down."""


@contextmanager
def noticing_dead_workers(
    num_workers: int, workers: Callable[[], Sequence[BaseProcess]]
) -> Iterator[None]:
    """Wait in the block for what `num_workers` workers do; `workers` tells those that run.

    Raises:
        WorkerDiedError: one of them has died, in the block or before.
    """

    def find_death() -> WorkerDiedError | None:
        for worker in workers():
            if worker.exitcode is not None:
                return _death(str(worker.pid), _cause(worker.exitcode), num_workers)
        return None

    if death := find_death():
        raise death
    try:
        with _acting_on_ends(find_death):
            yield
    except (RuntimeError, EOFError, ConnectionError) as error:
        is_cut_off = not isinstance(error, RuntimeError) or _BROKEN_OFF.search(str(error))
        until = time.monotonic() + _PATIENCE_SECONDS * bool(is_cut_off and num_workers)
        while not (death := find_death()) and time.monotonic() < until:
            time.sleep(0.02)
        if not death and (told := _AT_START.search(str(error))):
            death = _death(told[1], "", num_workers)
        if not death:
            raise
        traceback.clear_frames(error.__traceback__)  # files that torch opened to find the cause
        raise death from None


@contextmanager
def _acting_on_ends(find_death: Callable[[], WorkerDiedError | None]) -> Iterator[None]:
    """Raise the death of a worker even where a read waits for the rest of what it was sending."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    outside = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    if outside is None or not in_main_thread:
        yield
        return

    def act(number: int, frame: FrameType | None) -> None:
        if death := find_death():
            raise death
        if callable(outside):
            outside(number, frame)

    signal.signal(signal.SIGCHLD, act)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, outside)


def _death(pid: str, cause: str, num_workers: int) -> WorkerDiedError:
    next_step = _NEXT_STEPS.get(cause, _DECODER).format(num_workers)
    said = f" ({cause})" if cause else ""
    return WorkerDiedError(f"a process that reads videos (pid {pid}) died{said}; {next_step}")


def _cause(exit_code: int) -> str:
    return signal.strsignal(-exit_code) or "" if exit_code < 0 else f"exit code {exit_code}"
