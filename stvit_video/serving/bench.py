"""Workers that wait for videos: processes with the models loaded, one video at a time each.

One that dies, or takes too long, or whose asker has gone, is killed, and another takes its place.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stvit_video.datasets.upkeep.workers import (
    Outcome,
    clean_context,
    receive_outcome,
    serve_items,
)
from stvit_video.serving.analyst import Analyst, Answer, Job

_START_SECONDS = 300.0
"""In which a worker must have loaded its models."""
_PAUSE_SECONDS = 5.0


class Worker:
    """A process that answers one job at a time."""

    def __init__(self, analyst: Analyst) -> None:
        context: Any = clean_context(Analyst)
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=serve_items, args=(far_end, analyst), daemon=True)
        self.process.start()
        far_end.close()

    def wait_until_ready(self) -> bool:
        """Wait for the models; whether they are there."""
        try:
            if self.connection.poll(_START_SECONDS):
                self.connection.recv()
                return True
        except (EOFError, ConnectionResetError):
            pass
        return False

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

    def __init__(self, analyst: Analyst, *, num_workers: int, seconds: float) -> None:
        self.analyst = analyst
        self.num_workers = num_workers
        self.seconds = seconds
        self._free: asyncio.Queue[Worker] = asyncio.Queue()
        self._workers: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start all workers, and wait until they have loaded the models."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self.num_workers + 4))  # that wait for them
        await asyncio.gather(*(self._add() for _ in range(self.num_workers)))

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
        starting = asyncio.get_running_loop().create_task(self._add())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)

    async def _add(self) -> None:
        """Start a worker; where that fails, once more after a while."""
        while True:
            worker = Worker(self.analyst)
            self._workers.add(worker)
            if await asyncio.to_thread(worker.wait_until_ready):
                self._free.put_nowait(worker)
                return
            self._workers.discard(worker)
            worker.stop()
            await asyncio.sleep(_PAUSE_SECONDS)
