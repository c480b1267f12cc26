"""Run a function on many files in worker processes that can be killed: one file that hangs or
crashes a decoder costs its own result and nothing else.
"""

import itertools
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Literal, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome(Generic[Item, Result]):
    """What became of one item."""

    item: Item
    result: Result | None
    """What the function returned; None where it did not come to an end."""
    failure: Literal["", "time limit", "crash", "error"]
    """Why not; an `error` is one of Python."""
    seconds: float
    traceback: str = ""
    """Of the error."""


class _Worker:
    """A process that answers one item at a time."""

    def __init__(self, context: Any, function: Callable[[Any], Any]) -> None:
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=serve_items, args=(far_end, function), daemon=True)
        self.process.start()
        far_end.close()
        self.item: Any = None
        self.is_ready = self.is_busy = False
        self.started_at = 0.0

    def give(self, item: Any) -> None:
        if not self.is_ready:
            self.connection.recv()  # it has imported what it needs: no item pays for that
            self.is_ready = True
        self.item, self.is_busy, self.started_at = item, True, time.monotonic()
        self.connection.send(item)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def run_killable(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_workers: int,
    timeout_seconds: float,
    after_kill: Callable[[Item], object] = lambda item: None,
) -> Iterator[Outcome[Item, Result]]:
    """Apply `function` to every item, in any order; yield each outcome as it comes.

    `function` is importable by its name and returns what can be pickled. A worker that takes longer
    than `timeout_seconds` over one item is killed and replaced. Closing the iterator ends the
    workers. `after_kill` gets each item whose process came to its end before it had answered.
    """
    context = clean_context(function.__module__)
    waiting = iter(items)
    workers: list[_Worker] = []
    try:
        first = list(itertools.islice(waiting, num_workers))
        workers += (_Worker(context, function) for _ in first)  # they import at the same time
        for worker, item in zip(workers, first, strict=True):
            worker.give(item)
        while any(worker.is_busy for worker in workers):
            for outcome in _collect(workers, waiting, timeout_seconds, context, function):
                if outcome.failure:
                    after_kill(outcome.item)
                yield outcome
    finally:
        for worker in workers:
            worker.stop()
            if worker.is_busy:
                after_kill(worker.item)


def _collect(
    workers: list[_Worker],
    waiting: Iterator[Any],
    timeout_seconds: float,
    context: Any,
    function: Callable[[Any], Any],
) -> Iterator[Outcome[Any, Any]]:
    """Wait for news of any worker; pass it on and give the worker its next item."""
    busy = {worker.connection: worker for worker in workers if worker.is_busy}
    first_deadline = min(worker.started_at for worker in busy.values()) + timeout_seconds
    ready = set(wait(list(busy), timeout=max(first_deadline - time.monotonic(), 0.0)))
    for connection, worker in busy.items():
        seconds = time.monotonic() - worker.started_at
        if connection in ready or connection.poll():
            outcome = receive_outcome(connection, worker.item, seconds)
        elif seconds >= timeout_seconds:
            outcome = Outcome(item=worker.item, result=None, failure="time limit", seconds=seconds)
        else:
            continue
        worker.is_busy = False
        if outcome.failure:
            worker.stop()
            workers.remove(worker)
        yield outcome
        for item in waiting:
            if outcome.failure:
                worker = _Worker(context, function)
                workers.append(worker)
            worker.give(item)
            break


def receive_outcome(connection: Connection, item: Any, seconds: float) -> Outcome[Any, Any]:
    """Wait for what a worker says of its item, or for its end."""
    try:
        result, text = connection.recv()
    except (EOFError, ConnectionResetError):  # the process died without an answer
        return Outcome(item=item, result=None, failure="crash", seconds=seconds)
    failure: Literal["", "error"] = "error" if text else ""
    return Outcome(item=item, result=result, failure=failure, seconds=seconds, traceback=text)


def serve_items(connection: Connection, function: Callable[[Any], Any]) -> None:
    """Answer items until the parent goes away; ctrl-c and SIGTERM are the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        connection.send(None)
        while True:
            _answer(connection, function)
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return


def _answer(connection: Connection, function: Callable[[Any], Any]) -> None:
    item = connection.recv()
    try:
        result = function(item)
    except BaseException as error:
        connection.send((None, traceback.format_exc()))
        raise SystemExit(1) from error  # the parent says what happened, once
    connection.send((result, ""))


def clean_context(module: str) -> Any:
    """Start workers from a process without threads or open decoders, imports of `module` done."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module, "stvit_video.video.decoding.open"])
    return context
