"""Progress of long runs over files: a bar."""

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

from stvit_video.visible import visible

Outcome = TypeVar("Outcome")


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

    It is on standard error.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[num_bad]} bad"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
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

    A `transient` bar is for a terminal alone, and gone once they are.
    """
    if transient and not console.is_terminal:
        yield lambda num_videos: None
        return
    time_left = TimeRemainingColumn(compact=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, _RateColumn(unit), time_left, console=console, transient=transient
    ) as bar:
        task = bar.add_task(visible(label), total=total)
        yield lambda num_videos: bar.advance(task, num_videos)


class _RateColumn(ProgressColumn):
    """How many are done a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Write the rate once there is one."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:.3g} {self.unit}/s")
