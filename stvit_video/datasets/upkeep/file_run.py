"""Work on many files in processes that can be killed, and tell the faults of files from ours."""

import os
from collections.abc import Callable, Generator, Sequence
from itertools import takewhile
from typing import Any

from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.datasets.upkeep.workers import Outcome, run_killable
from stvit_video.errors import ConfigError
from stvit_video.report.progress import track_files

TRY_AGAIN = ("time limit", "crash")
"""Verdicts that a later run does not take for granted."""
_ENOUGH_ERRORS = 8


class WorkerError(RuntimeError):
    """An error of Python while files were worked on, which is no fault of theirs."""


class FileRun:
    """One pass over files; `traceback` is that of its first error of Python, if there was one."""

    def __init__(
        self,
        function: Callable[[Any], ScanResult],
        *,
        title: str,
        num_workers: int,
        timeout_seconds: float,
        after_kill: Callable[[Any], object] = lambda item: None,
    ) -> None:
        """`after_kill` gets an item whose process was killed, to clear up what it left."""
        if num_workers < 0:
            raise ConfigError(f"num_workers ({num_workers}) must be at least 0; 0 takes every core")
        if timeout_seconds <= 0:
            raise ConfigError(f"timeout_seconds ({timeout_seconds}) must be more than 0")
        self.function = function
        self.title = title
        self.num_workers = num_workers or os.cpu_count() or 1
        self.timeout_seconds = timeout_seconds
        self.after_kill = after_kill
        self.traceback = ""
        self._is_ending = False

    def end_early(self) -> None:
        """Begin no other item; those in work come to their end."""
        self._is_ending = True

    def results(
        self, items: Sequence[Any], *, known: Sequence[ScanResult]
    ) -> Generator[tuple[Any, ScanResult], None, None]:
        """Yield each item with its result as it comes, while a bar counts them and those `known`.

        Raises:
            WorkerError: eight items, or all there are, met an error of Python, and none did not.
        """
        outcomes = run_killable(
            self.function,
            takewhile(lambda _: not self._is_ending, items),
            num_workers=self.num_workers,
            timeout_seconds=self.timeout_seconds,
            after_kill=self.after_kill,
        )
        num_errors = num_others = 0
        for outcome in track_files(
            outcomes,
            title=self.title,
            total=len(items) + len(known),
            is_bad=lambda outcome: outcome.result is None or not outcome.result.is_ok,
            num_done=len(known),
            num_bad=sum(not result.is_ok for result in known),
        ):
            self.traceback = self.traceback or outcome.traceback
            num_errors += outcome.failure == "error"
            num_others += outcome.failure != "error"
            if not num_others and num_errors == min(_ENOUGH_ERRORS, len(items)):
                raise WorkerError(f"no fault of the videos:\n{self.traceback}")
            yield outcome.item, outcome.result or _failed(outcome)


def _failed(outcome: Outcome[Any, ScanResult]) -> ScanResult:
    """Say in a result why there is none."""
    if outcome.failure == "error":
        return ScanResult(verdict="crash", detail=outcome.traceback.splitlines()[-1])
    return ScanResult(verdict=outcome.failure, detail=f"after {outcome.seconds:.1f} s")
