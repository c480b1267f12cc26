"""One evaluation on several devices: a process for each, which scores its share of the videos."""

import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stvit_video.datasets.from_settings import build_evaluation_loader
from stvit_video.datasets.records import VideoRecord
from stvit_video.datasets.sampler import Share
from stvit_video.errors import StvitVideoError, WorkerDiedError
from stvit_video.evaluation.evaluate import ScoredBatch, VideoScores, score_videos
from stvit_video.evaluation.score_folder import AnswerFolder
from stvit_video.evaluation.views import combine_views
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig

_PATIENCE_SECONDS = 30.0
"""Until a process that should end is made to."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What all processes do, each with its share."""

    model: nn.Module
    """Answers normalised clips (B, C, T, H, W) with logits (B, K), or something else (B, ...)."""
    preprocessing: Preprocessing
    records: Sequence[VideoRecord]
    data: DataConfig
    views: ViewConfig
    batch_size: int
    """Views of a forward pass."""
    multi_label: bool
    """Whether a video may be of several classes."""
    folder: AnswerFolder | None
    """Where answers are kept as they come."""
    in_memory: bool = True
    """Whether to return the scores of the videos, too."""

    def run(
        self, share: Share, device: torch.device, advance: Callable[[int], object]
    ) -> VideoScores:
        """Score a share; tell `advance` how many more videos are done."""
        if device.type == "cuda":
            torch.cuda.set_device(device)  # where memory is pinned for
        log = self.folder.new_log() if self.folder else None

        def keep(batch: ScoredBatch) -> None:
            if log is not None:
                log.add(batch.video_index, batch.logits)
            advance(len(batch.video_index) + len(batch.failures))

        loader = build_evaluation_loader(
            self.records,
            self.preprocessing,
            data=self.data,
            views=self.views,
            batch_size=self.batch_size,
            device=device,
            share=share,
        )
        with log or nullcontext():
            return score_videos(
                self.model,
                loader,
                preprocessing=self.preprocessing,
                views=self.views,
                device=device,
                batch_size=self.batch_size,
                combine=self._combine,
                on_batch=keep,
            )

    def _combine(self, logits: Tensor) -> Tensor:
        """Make the scores of a video that are returned of its views (V, K)."""
        if not self.in_memory:
            return torch.empty(0)
        return combine_views(logits, self.views.combine, multi_label=self.multi_label)


def score_on_devices(
    scoring: Scoring,
    left: Tensor,
    devices: Sequence[torch.device],
    advance: Callable[[int], object],
) -> list[VideoScores]:
    """Score the videos that are `left`, here on one device or with a process for each of several.

    Raises:
        WorkerDiedError: a process has died.
    """
    if len(devices) == 1:
        return [scoring.run(Share(0, 1, left), devices[0], advance)]
    with _started(scoring, left, devices) as workers:
        return list(_collect(workers, advance))


class _Worker(NamedTuple):
    process: SpawnProcess
    device: torch.device
    connection: Connection


@contextmanager
def _started(
    scoring: Scoring, left: Tensor, devices: Sequence[torch.device]
) -> Iterator[list[_Worker]]:
    """Start a process for each device; at the end of the block none is left.

    Those that still work then end with their batch, for what they send is not taken any more.
    """
    context, workers = get_context("spawn"), []
    try:
        for device in devices:
            ours, its = context.Pipe()
            process = context.Process(target=_work, args=(its,))
            process.start()
            its.close()
            workers.append(_Worker(process, device, ours))
        work = pickle.dumps((scoring, left))  # tensors by value: by handle, each would take a file
        for rank, worker in enumerate(workers):
            with _noticing_death(worker):
                worker.connection.send((rank, len(workers), worker.device))
                worker.connection.send_bytes(work)
        yield workers
    finally:
        for worker in workers:
            worker.connection.close()
        for worker in workers:
            worker.process.join(_PATIENCE_SECONDS)
            worker.process.kill()


def _collect(workers: Sequence[_Worker], advance: Callable[[int], object]) -> Iterator[VideoScores]:
    """Yield what each process scored, and pass on how far all are, if only that none is further."""
    busy = list(workers)
    while busy:
        ends = [end for worker in busy for end in (worker.connection, worker.process.sentinel)]
        ready = wait(ends, timeout=1.0)
        advance(0)
        for worker in list(busy):
            if worker.connection not in ready:
                if worker.process.sentinel in ready:
                    raise _death(worker)
                continue
            with _noticing_death(worker):
                told = worker.connection.recv()
            if isinstance(told, StvitVideoError):
                raise told
            if isinstance(told, int):
                advance(told)
                continue
            scores, video_index, failures = told
            yield VideoScores(torch.from_numpy(scores), torch.from_numpy(video_index), failures)
            busy.remove(worker)


def _work(connection: Connection) -> None:
    """Score a share, as the process that starts this one tells, and send it what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends this one, too
    with suppress(BrokenPipeError, ConnectionResetError, EOFError):  # it has died
        rank, num_processes, device = connection.recv()
        scoring, left = pickle.loads(connection.recv_bytes())
        try:
            found = scoring.run(Share(rank, num_processes, left), device, connection.send)
        except StvitVideoError as error:
            connection.send(error)
        else:
            connection.send((found.scores.numpy(), found.video_index.numpy(), found.failures))


@contextmanager
def _noticing_death(worker: _Worker) -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise _death(worker) from error


def _death(worker: _Worker) -> WorkerDiedError:
    worker.process.join(_PATIENCE_SECONDS)  # its files close before it has ended
    code = worker.process.exitcode or 0
    cause = signal.strsignal(-code) if code < 0 else f"exit code {code}"
    return WorkerDiedError(
        f"the process that evaluates on {worker.device} (pid {worker.process.pid}) died ({cause})"
    )
