"""Deaths of workers as they are met: before, while and after something is waited for."""

import threading
from types import SimpleNamespace

import pytest

from stvit_video.datasets import worker_death
from stvit_video.datasets.worker_death import noticing_dead_workers
from stvit_video.errors import WorkerDiedError


def _workers(*exit_codes):
    return [SimpleNamespace(pid=7 + i, exitcode=code) for i, code in enumerate(exit_codes)]


def _died(workers, error=None):
    with pytest.raises(WorkerDiedError) as caught, noticing_dead_workers(3, lambda: workers):
        raise error or AssertionError("it waits for a worker that is dead")
    return caught.value


@pytest.mark.parametrize(
    ("exit_code", "text"),
    [
        (-9, "(Killed); memory is the usual cause: lower num_workers (3)"),
        (-7, "(Bus error); shared memory (/dev/shm) ran out: enlarge it, or lower num_workers (3)"),
        (
            -11,
            "(Segmentation fault); a file may bring its decoder down: `stvit-video data scan`"
            " finds it",
        ),
        (1, "(exit code 1); a file may bring its decoder down: `stvit-video data scan` finds it"),
    ],
)
def test_a_worker_that_died_before_is_told_at_once(exit_code, text):
    error = _died(_workers(None, exit_code))
    assert str(error) == f"a process that reads videos (pid 8) died {text}"


@pytest.mark.parametrize(
    "error",
    [
        EOFError(),
        ConnectionResetError(),
        RuntimeError("Pin memory thread exited unexpectedly"),
        RuntimeError("received 0 items of ancdata"),
    ],
    ids=repr,
)
def test_a_connection_that_breaks_off_waits_for_the_death_behind_it(error):
    workers = _workers(None, None)
    death = threading.Timer(0.2, lambda: setattr(workers[0], "exitcode", -9))
    death.start()
    caught = _died(workers, error)
    assert str(caught).startswith("a process that reads videos (pid 7) died (Killed); memory")
    assert caught.__suppress_context__
    death.join()


def test_a_worker_that_dies_while_all_start_is_known_by_what_torch_says():
    error = RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly")
    assert str(_died([], error)) == (
        "a process that reads videos (pid 12, 13) died; memory is the usual cause:"
        " lower num_workers (3)"
    )


def test_other_errors_stay_what_they_are(monkeypatch):
    monkeypatch.setattr(worker_death, "_PATIENCE_SECONDS", 0.05)
    for error in (EOFError("cut"), RuntimeError("shapes differ"), KeyError("x")):
        with pytest.raises(type(error)) as caught, noticing_dead_workers(1, lambda: _workers(None)):
            raise error
        assert caught.value is error
