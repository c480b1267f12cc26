"""Turn the death of a loader's worker into one error, raised where a batch is waited for.

The handler that torch sets for the end of a child process raises wherever the program is by then:
in the middle of a step, of a checkpoint, of its own clean-up. Here it acts only while one waits.
"""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch._C import _error_if_any_worker_fails

from stvit_video.errors import WorkerDiedError

_DEATH = re.compile(r"DataLoader worker \(pid\S* ([\d, ]+)\) ")
_SIGNAL = re.compile(r"killed by signal: ([\w ]+)")
_MEMORY = "memory is the usual cause: lower num_workers ({})"
_SHARED_MEMORY = "shared memory (/dev/shm) ran out: enlarge it, or lower num_workers ({})"
_DECODER = "a file may bring its decoder down: `stvit-video data scan` finds it"
_CAUSES = {"Killed": _MEMORY, "Bus error": _SHARED_MEMORY, "": _MEMORY}
_torch_handler: Any = None


@contextmanager
def noticing_dead_workers(num_workers: int) -> Iterator[None]:
    """Wait for a batch of `num_workers` workers in the block.

    Raises:
        WorkerDiedError: one of them has died, in the block or before.
    """
    if not num_workers:
        yield
        return
    try:
        with _torch_handler_alone():
            _error_if_any_worker_fails()
            yield
    except RuntimeError as error:
        text = f"{error} {error.__cause__}"
        if not (death := _DEATH.search(text)):
            raise
        found = _SIGNAL.search(text)
        cause = found[1] if found else ""
        next_step = _CAUSES.get(cause, _DECODER).format(num_workers)
        raise WorkerDiedError(
            f"a process that reads videos (pid {death[1]}) died{f' ({cause})' if cause else ''};"
            f" {next_step}"
        ) from None


@contextmanager
def _torch_handler_alone() -> Iterator[None]:
    """Put torch's handler of dead children, which it sets with its first worker, in force."""
    global _torch_handler
    in_main_thread = threading.current_thread() is threading.main_thread()
    outside = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    if outside is None or not in_main_thread:
        yield
        return
    if _torch_handler is not None:
        signal.signal(signal.SIGCHLD, _torch_handler)
    try:
        yield
    finally:
        _torch_handler = signal.getsignal(signal.SIGCHLD)
        signal.signal(signal.SIGCHLD, outside)
