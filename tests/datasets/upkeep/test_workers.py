import os
import time

import pytest

from stvit_video.datasets.upkeep import workers
from stvit_video.datasets.upkeep.workers import run_killable

_HANG = "__import__('time').sleep(600)"


def _outcomes(expressions, *, num_workers=2, timeout_seconds=60.0):
    found = run_killable(
        eval, expressions, num_workers=num_workers, timeout_seconds=timeout_seconds
    )
    return {outcome.item: (outcome.result, outcome.failure) for outcome in found}


def test_every_item_is_answered():
    expressions = [f"{i} * 11" for i in range(7)]
    assert _outcomes(expressions) == {f"{i} * 11": (i * 11, "") for i in range(7)}


def test_an_item_that_hangs_is_killed_and_the_rest_goes_on(tmp_path):
    note = tmp_path / "process"
    hang = f"open({str(note)!r}, 'w').write(str(__import__('os').getpid())) + {_HANG}"
    start = time.monotonic()
    outcomes = _outcomes(["2 + 3", hang, "5 + 7"], num_workers=1, timeout_seconds=3.0)
    assert outcomes == {"2 + 3": (5, ""), hang: (None, "time limit"), "5 + 7": (12, "")}
    assert time.monotonic() - start < 300
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_an_item_that_crashes_its_process_costs_only_itself():
    crash = "__import__('os').abort()"
    outcomes = _outcomes([crash, "2 + 3", "3 + 4", "4 + 5"])
    assert outcomes.pop(crash) == (None, "crash")
    assert outcomes == {"2 + 3": (5, ""), "3 + 4": (7, ""), "4 + 5": (9, "")}


def test_leaving_early_ends_the_workers():
    found = run_killable(
        eval, ["__import__('os').getpid()"] * 3, num_workers=1, timeout_seconds=60.0
    )
    process = next(found).result
    os.kill(process, 0)
    found.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_nothing_to_do_starts_no_worker():
    assert _outcomes([]) == {}


def test_sigterm_for_the_whole_group_is_left_to_the_parent():
    hit = "__import__('os').kill(__import__('os').getpid(), 15) or 7"
    assert _outcomes([hit, "2 + 3"], num_workers=1) == {hit: (7, ""), "2 + 3": (5, "")}


def test_workers_start_together(monkeypatch):
    """All import at the same time: none waits until another has."""
    told = []

    class Told(workers._Worker):
        def __init__(self, *inputs):
            told.append("start")
            super().__init__(*inputs)

        def give(self, item):
            told.append("give")
            super().give(item)

    monkeypatch.setattr(workers, "_Worker", Told)
    assert _outcomes(["1 + 2", "2 + 3"]) == {"1 + 2": (3, ""), "2 + 3": (5, "")}
    assert told == ["start", "start", "give", "give"]
