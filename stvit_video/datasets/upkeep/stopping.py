"""End long work over files in one line, whichever signal ends it."""

import signal
import threading
from collections.abc import Callable, Iterator
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


@contextmanager
def stoppable_at(kept: str) -> Iterator[Callable[[], None]]:
    """Let ctrl-c and SIGTERM end the block where it calls what it is given; the second, anywhere.

    What is under way comes to an end, and processes that are amid sending something are not cut
    off. Raises as `stoppable`, in the main thread of a process.
    """
    stops: list[type[KeyboardInterrupt]] = []

    def note(number: int, frame: FrameType | None) -> None:
        stops.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
        if len(stops) > 1:
            raise stops[0]

    def stop_here() -> None:
        if stops:
            raise stops[0]

    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stop_here
        stop_here()
    except KeyboardInterrupt as stop:
        raise type(stop)(kept) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
