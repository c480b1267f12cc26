"""End long work over files in one line, whichever signal ends it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, answered as ctrl-c is."""

    exit_status = 143
    """What a shell expects of a program that SIGTERM ended."""


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """Let ctrl-c and SIGTERM end the block, which cleans up, with `kept` as the one line.

    Only the main thread of a process can answer SIGTERM.

    Raises:
        KeyboardInterrupt: ctrl-c; or `Terminated`, SIGTERM.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if is_main else None
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(kept) from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
