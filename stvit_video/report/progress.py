"""Progress of long runs over files: a bar on a terminal, one line at the end elsewhere."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from stvit_video.report.json_file import result_console
from stvit_video.report.notebook import in_notebook, notebook_console
from stvit_video.report.terminal import say
from stvit_video.visible import visible

_LONG = 2.0
"""Seconds from which on a pass over files is told."""
Outcome = TypeVar("Outcome")
Item = TypeVar("Item")


def track_files(
    outcomes: Iterable[Outcome],
    *,
    title: str,
    total: int,
    is_bad: Callable[[Outcome], bool],
    num_done: int = 0,
    num_bad: int = 0,
) -> Iterator[Outcome]:
    """Pass outcomes on while a bar shows how many of `total` are done and how many are bad.

    It is on standard error; what is no terminal gets one line, once all are done, where
    that took some seconds.
    """
    console = result_console("-")
    if not console.is_terminal:
        start, num_before = time.perf_counter(), num_done
        for outcome in outcomes:
            num_done, num_bad = num_done + 1, num_bad + is_bad(outcome)
            yield outcome
        if (seconds := time.perf_counter() - start) >= _LONG:
            speed = _speed(num_done - num_before, seconds, "files")
            say(console, f"{title}: {num_done} of {total}, {num_bad} bad, {speed}")
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[num_bad]} bad"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(visible(title), total=total, completed=num_done, num_bad=num_bad)
        for outcome in outcomes:
            num_bad += is_bad(outcome)
            progress.update(task, advance=1, num_bad=num_bad)
            yield outcome


@contextmanager
def count_videos(
    console: Console,
    label: str,
    *,
    total: int | None,
    transient: bool = False,
    unit: str = "videos",
) -> Iterator[Callable[[int], None]]:
    """Show a bar; what is handed out is told how many more videos of `total` are done.

    What is no terminal gets one line at the end, or of a `transient` bar, which is gone once they
    are done, none.
    """
    if not console.is_terminal:
        start, counts = time.perf_counter(), list[int]()
        yield counts.append
        speed = _speed(sum(counts), time.perf_counter() - start, unit)
        if not transient:
            say(console, f"{label}: {sum(counts)} of {total or sum(counts)}, {speed}")
        return
    time_left = TimeRemainingColumn(compact=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, _RateColumn(unit), time_left, console=console, transient=transient
    ) as bar:
        task = bar.add_task(visible(label), total=total)
        yield lambda num_videos: bar.advance(task, num_videos)


def notebook_bar(items: Iterator[Item], label: str, *, total: int | None) -> Iterator[Item]:
    """Pass items on; in a notebook, a bar shows how many of `total` videos are done.

    There is no bar for one video, nor where nobody knows how many there are.
    """
    if total is None or total < 2 or not in_notebook():
        yield from items
        return
    with count_videos(notebook_console(), label, total=total) as count:
        for item in items:
            count(1)
            yield item


class _RateColumn(ProgressColumn):
    """How many are done a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Write the rate once there is one."""
        rate = task.speed
        if task.finished and task.elapsed:
            rate = task.completed / task.elapsed
        return Text("" if rate is None else _rate(rate, self.unit))


def _speed(number: int, seconds: float, unit: str) -> str:
    return f"{seconds:.1f} s, {_rate(number / max(seconds, 1e-9), unit)}"


def _rate(rate: float, unit: str) -> str:
    """Write a rate with three digits, and all of those before the point."""
    return f"{rate:.{max(0, 2 - len(str(int(rate))) + 1)}f} {unit}/s"
