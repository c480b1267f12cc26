import pytest

from stvit_video.datasets.upkeep.file_run import FileRun, WorkerError
from stvit_video.datasets.upkeep.scan import ScanResult

OK = "__import__('stvit_video.datasets.upkeep.scan', fromlist=['scan']).ScanResult(verdict='ok')"
OURS = "[][3]"


def _run(**how):
    how = {"num_workers": 2, "timeout_seconds": 60.0} | how
    return FileRun(eval, title="test", **how)


def test_an_error_that_every_file_meets_is_raised_once_with_its_traceback(capfd):
    run = _run()
    with pytest.raises(WorkerError) as caught:
        list(run.results([f"{OURS} + {number}" for number in range(30)], known=[]))
    text = str(caught.value)
    assert text.startswith("no fault of the videos:\nTraceback (most recent call last):\n")
    assert text.endswith("IndexError: list index out of range\n")
    assert "Traceback" not in capfd.readouterr().err


def test_fewer_files_than_it_takes_to_be_sure_are_enough_if_they_are_all():
    with pytest.raises(WorkerError):
        list(_run().results([OURS], known=[]))


def test_an_error_that_one_file_meets_is_its_own_and_is_kept():
    run = _run(num_workers=1)
    results = dict(run.results([OURS, OK, f"{OK} "], known=[]))
    assert results == {
        OURS: ScanResult(verdict="crash", detail="IndexError: list index out of range"),
        OK: ScanResult(verdict="ok"),
        f"{OK} ": ScanResult(verdict="ok"),
    }
    assert run.traceback.endswith("IndexError: list index out of range\n")


def test_a_killed_process_is_cleaned_up_after(tmp_path):
    note = tmp_path / "note"
    hang = f"[open({str(note)!r}, 'w').close(), __import__('time').sleep(600)]"
    cleaned = []
    run = _run(timeout_seconds=2.0, num_workers=1, after_kill=cleaned.append)
    ((item, result),) = run.results([hang], known=[])
    assert (item, result.verdict, cleaned) == (hang, "time limit", [hang])
    outcomes = _run(num_workers=2, after_kill=cleaned.append).results([OK, f"{hang} "], known=[])
    assert next(outcomes)[0] == OK
    outcomes.close()
    assert cleaned == [hang, f"{hang} "]


def test_an_early_end_begins_nothing_and_loses_nothing(tmp_path):
    slow = f"__import__('time').sleep(1) or {OK}"  # in work when the first one is told
    later = [f"open({str(tmp_path / str(n))!r}, 'w') and {OK}" for n in range(5)]
    run = _run()
    told = []
    for item, result in run.results([OK, slow, *later], known=[]):
        run.end_early()
        told.append((item, result.verdict))
    assert told == [(OK, "ok"), (slow, "ok")]
    assert not list(tmp_path.iterdir())
