"""Loaders whose workers die, and what they hold ready."""

import ctypes
import gc
import itertools
import multiprocessing
import os
import signal
import threading
import time

import pytest

from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.loader import build_loader
from stvit_video.datasets.records import VideoRecord
from stvit_video.errors import StvitVideoError, WorkerDiedError
from stvit_video.settings.model import Preprocessing
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.sampling.scheme import SamplingScheme

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in")
"""Where a worker dies while it sends, torch opens files to find out why, and leaves them open."""


def _build(video, *, num_batches, num_workers=2):
    """Batches of one clip each."""
    shape = Preprocessing(num_frames=2, frame_stride=2, image_size=16)
    dataset = VideoDataset(
        [VideoRecord(video, 0)] * num_batches,
        sample=SamplingScheme(num_frames=2, frame_stride=2),
        transform=build_transform(shape, normalize=False),
    )
    return build_loader(dataset, batch_size=1, num_workers=num_workers, shuffle=False, seed=0)


@pytest.fixture
def loader(counting_video):
    return _build(counting_video, num_batches=12)


def _kill_a_worker(loader, how=signal.SIGKILL):
    worker = loader._iterator._workers[0]
    os.kill(worker.pid, how)
    return worker.pid


def test_a_killed_worker_is_one_error_where_a_batch_is_waited_for(loader):
    handler = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    next(batches)
    pid = _kill_a_worker(loader)
    time.sleep(0.3)  # the signal comes here and must not raise
    assert signal.getsignal(signal.SIGCHLD) is handler
    with pytest.raises(WorkerDiedError) as error:
        list(batches)
    assert str(error.value) == (
        f"a process that reads videos (pid {pid}) died (Killed); memory is the usual cause:"
        " lower num_workers (2)"
    )
    assert error.value.__suppress_context__ or error.value.__context__ is None
    assert isinstance(error.value, StvitVideoError)


def test_workers_of_a_loader_among_garbage_are_ended_through_open_pipes(counting_video):
    loader = _build(counting_video, num_batches=1)  # the second worker is asked for nothing
    assert len(list(loader)) == 1
    iterator, workers = loader._iterator, loader._iterator._workers
    loader.itself = loader
    for act in (ctypes.pythonapi.PyObject_GC_UnTrack, ctypes.pythonapi.PyObject_GC_Track):
        act(ctypes.py_object(iterator))  # the collector comes to it last, after its pipes
    del loader, iterator
    with pytest.MonkeyPatch.context() as patch:
        errors = []
        patch.setattr(threading, "excepthook", errors.append)
        gc.collect()
        for worker in workers:
            worker.join(10)
    assert errors == []
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_a_worker_that_crashes_points_at_the_files(loader):
    batches = iter(loader)
    next(batches)
    _kill_a_worker(loader, signal.SIGUSR2)
    with pytest.raises(
        WorkerDiedError, match=r"died \(User defined signal 2\); a file may bring its decoder"
    ):
        list(batches)


def test_after_a_death_the_next_pass_starts_new_workers(loader):
    batches = iter(loader)
    next(batches)
    pid = _kill_a_worker(loader)
    with pytest.raises(WorkerDiedError):
        list(batches)
    del batches
    assert [int(batch.video_index) for batch in loader] == list(range(12))
    assert pid not in {child.pid for child in multiprocessing.active_children()}


def test_a_death_between_two_passes_is_told_by_the_second(loader):
    list(loader)
    _kill_a_worker(loader)
    time.sleep(0.3)
    with pytest.raises(WorkerDiedError, match="memory is the usual cause"):
        list(loader)


def test_workers_hold_as_many_batches_ready_as_they_are_told(loader):
    assert loader.prefetch_factor == 2
    more = build_loader(
        loader.dataset.videos,
        batch_size=1,
        num_workers=1,
        shuffle=False,
        seed=0,
        prefetch_batches=5,
    )
    assert more.prefetch_factor == 5


@pytest.mark.parametrize(("num_videos", "num_processes"), [(3, 2), (2, 3), (7, 3), (6, 3)])
def test_every_process_is_served_as_many_batches_the_last_perhaps_empty(
    counting_video, monkeypatch, num_videos, num_processes
):
    served, counts = [], set()
    for rank in range(num_processes):
        monkeypatch.setattr(
            "stvit_video.datasets.sampler._rank_and_size", lambda rank=rank: (rank, num_processes)
        )
        loader = _build(counting_video, num_batches=num_videos, num_workers=0)
        for _ in range(2):  # another pass is the same
            batches = list(loader)
            assert len(batches) == len(loader) == -(-num_videos // num_processes)
        counts.add(len(batches))
        served += [batch.video_index.tolist() for batch in batches]
        assert all(len(b.clip) == len(b.label) == len(b.video_index) for b in batches)
        assert all(len(batch.label) == 1 for batch in batches[:-1])
    assert len(counts) == 1
    assert sorted(itertools.chain(*served)) == list(range(num_videos))
