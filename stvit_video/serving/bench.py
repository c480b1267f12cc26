"""Workers that wait for videos: processes with the models loaded, one video at a time each.

One that dies, or takes too long, or whose asker has gone, is killed, and another takes its place.
"""

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from stvit_video.datasets.upkeep.workers import (
    Outcome,
    clean_context,
    receive_outcome,
    serve_items,
)
from stvit_video.errors import ConfigError, StvitVideoError
from stvit_video.serving.messages import AnalysisSettings, Answer, Job

_ANALYST = "stvit_video.serving.analyst"
"""Imported by the process that workers are forked from."""
_START_SECONDS = 300.0
"""In which a worker must have loaded its models."""
_PAUSE_SECONDS = 5.0


class Ready(NamedTuple):
    """What a worker says first."""

    models: list[dict[str, Any]]
    error: str = ""
    """Why it cannot load them."""


class Worker:
    """A process that answers one job at a time."""

    def __init__(self, settings: AnalysisSettings) -> None:
        context: Any = clean_context(_ANALYST)
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=_work, args=(far_end, settings), daemon=True)
        self.process.start()
        far_end.close()

    def wait_until_ready(self) -> Ready:
        """Wait for the models.

        Raises:
            ConfigError: there are none, or the process died.
        """
        try:
            if not self.connection.poll(_START_SECONDS):
                raise ConfigError(f"a worker did not load the models in {_START_SECONDS:g} s")
            ready: Ready = self.connection.recv()
            if not ready.error:
                self.connection.recv()  # it waits for jobs
        except (EOFError, ConnectionResetError) as error:
            raise ConfigError("a worker died before it had loaded the models") from error
        if ready.error:
            raise ConfigError(ready.error)
        return ready

    async def answer(self, job: Job, seconds: float) -> Outcome[Job, Answer]:
        """Let the process look at a video, for at most so many seconds."""
        start = time.monotonic()
        try:
            self.connection.send(job)
        except OSError:  # it died while nobody asked
            return Outcome(item=job, result=None, failure="crash", seconds=0.0)
        news = asyncio.create_task(asyncio.to_thread(receive_outcome, self.connection, job, 0.0))
        try:
            await asyncio.wait({news}, timeout=seconds)
            if news.done():
                return news.result()
            taken = time.monotonic() - start
            return Outcome(item=job, result=None, failure="time limit", seconds=taken)
        finally:
            if not news.done():  # too late, or nobody waits any more
                self.process.kill()
                await asyncio.shield(news)

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


class Bench:
    """So many workers, and who of them is free."""

    def __init__(self, settings: AnalysisSettings, *, num_workers: int, seconds: float) -> None:
        self.settings = settings
        self.num_workers = num_workers
        self.seconds = seconds
        self._free: asyncio.Queue[Worker] = asyncio.Queue()
        self._workers: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()

    async def start(self) -> list[dict[str, Any]]:
        """Start all workers, wait until they have loaded the models, and describe those.

        Raises:
            ConfigError: they cannot be loaded.
        """
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self.num_workers + 4))  # that wait for them
        ready = await asyncio.gather(*(self._add() for _ in range(self.num_workers)))
        return ready[0].models

    async def run(self, job: Job) -> Outcome[Job, Answer]:
        """Wait for a worker and let it look at a video; a worker that fails is replaced."""
        worker = await self._living_worker()
        is_fit = False
        try:
            outcome = await worker.answer(job, self.seconds)
            is_fit = not outcome.failure
            return outcome
        finally:
            if is_fit:
                self._free.put_nowait(worker)
            else:
                self._replace(worker)

    def close(self) -> None:
        """End all workers."""
        for starting in self._starting:
            starting.cancel()
        for worker in list(self._workers):
            self._workers.discard(worker)
            worker.stop()

    async def _living_worker(self) -> Worker:
        while not (worker := await self._free.get()).process.is_alive():
            self._replace(worker)
        return worker

    def _replace(self, worker: Worker) -> None:
        self._workers.discard(worker)
        worker.stop()
        starting = asyncio.get_running_loop().create_task(self._add_in_the_end())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)

    async def _add_in_the_end(self) -> None:
        """Add a worker; where that fails, try again after a while."""
        while True:
            with suppress(ConfigError):
                await self._add()
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _add(self) -> Ready:
        worker = Worker(self.settings)
        self._workers.add(worker)
        try:
            ready = await asyncio.to_thread(worker.wait_until_ready)
        except ConfigError:
            self._workers.discard(worker)
            worker.stop()
            raise
        self._free.put_nowait(worker)
        return ready


def _work(connection: Connection, settings: AnalysisSettings) -> None:
    """Load the models, say so, and answer jobs until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is the parent's to answer
    from stvit_video.serving.analyst import Analyst  # which the server need not import

    try:
        analyst = Analyst(settings)
    except StvitVideoError as error:
        connection.send(Ready([], str(error)))
        return
    connection.send(Ready(analyst.describe()))
    serve_items(connection, analyst)
