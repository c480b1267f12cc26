"""Progress of long runs over files: a bar on standard error."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

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
    """Pass outcomes on while a bar shows how many of `total` are done and how many are bad."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[num_bad]} bad"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, completed=num_done, num_bad=num_bad)
        for outcome in outcomes:
            num_bad += is_bad(outcome)
            progress.update(task, advance=1, num_bad=num_bad)
            yield outcome
