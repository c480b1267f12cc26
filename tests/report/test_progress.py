"""Bars on terminals, one plain line elsewhere."""

import io

import pytest
from rich.console import Console

from stvit_video.report import progress
from stvit_video.report.progress import count_videos, track_files


def console(*, is_terminal):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=80, color_system=None)


@pytest.fixture
def clock(monkeypatch):
    """A clock that two seconds pass on between two looks."""
    times = iter(range(0, 100, 2))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(times)))


def test_a_pipe_gets_one_line_with_number_time_and_rate(clock):
    out = console(is_terminal=False)
    with count_videos(out, "evaluating", total=5) as count:
        count(2)
        count(3)
    assert out.file.getvalue() == "evaluating: 5 of 5, 2.0 s, 2.50 videos/s\n"


def test_a_bar_that_goes_away_leaves_nothing_in_a_pipe(clock):
    out = console(is_terminal=False)
    with count_videos(out, "classifying", total=5, transient=True) as count:
        count(5)
    assert out.file.getvalue() == ""


def test_a_pipe_gets_one_line_over_files_with_the_bad_ones(clock, capsys):
    outcomes = track_files(
        range(4), title="scanning", total=6, is_bad=lambda x: x == 1, num_done=2, num_bad=1
    )
    assert list(outcomes) == [0, 1, 2, 3]
    assert capsys.readouterr().err == "scanning: 6 of 6, 2 bad, 2.0 s, 2.00 files/s\n"


def test_a_terminal_gets_a_bar():
    out = console(is_terminal=True)
    with count_videos(out, "evaluating", total=5) as count:
        count(5)
    assert "━" in out.file.getvalue()
    assert "5/5" in out.file.getvalue()


def test_a_full_bar_tells_the_rate_of_the_whole_however_few_its_steps():
    out, now = console(is_terminal=True), 0.0
    out.get_time = lambda: now
    with count_videos(out, "evaluating", total=4) as count:
        now = 2.0
        count(4)
    assert "4/4 2.00 videos/s" in out.file.getvalue()


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_no_moving_bar(monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    out = console(is_terminal=True)
    with count_videos(out, "evaluating", total=5) as count:
        for _ in range(5):
            count(1)
    assert "\x1b[" not in out.file.getvalue()
    assert out.file.getvalue().count("evaluating") == 1


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0.5, "0.50 x/s"), (2.5, "2.50 x/s"), (25.04, "25.0 x/s"), (1060, "1060 x/s")],
)
def test_a_rate_is_written_out(rate, shown):
    assert progress._rate(rate, "x") == shown


def test_a_quick_pass_over_files_leaves_nothing_in_a_pipe(capsys):
    assert list(track_files("ab", title="scanning", total=2, is_bad=lambda x: False)) == ["a", "b"]
    assert capsys.readouterr() == ("", "")
