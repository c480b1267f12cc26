"""One answer for each file, in order, whatever the files do to the processes that read them."""

from collections import deque
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stvit_video.datasets.windows import WindowLength
from stvit_video.errors import StvitVideoError, VideoDecodeError, WorkerDiedError
from stvit_video.evaluation.prediction import VideoPrediction
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.timeline import Timeline
from stvit_video.evaluation.timelines import OnProgress


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingPlan:
    """How many things are done at once, and what is wanted of each video."""

    top_k: int = 5
    batch_size: int = 16
    num_workers: int = 2
    length: WindowLength | None = None
    """Of windows; None for one answer a video."""


@dataclass(frozen=True, slots=True)
class UnreadVideo:
    """A file without an answer, and why."""

    video: str
    error: StvitVideoError

    def as_json(self) -> dict[str, Any]:
        """Return its record."""
        return {"video": self.video, "error": str(self.error)}


Answer = VideoPrediction | Timeline | UnreadVideo


def answer_each(
    predictor: Predictor,
    paths: Iterable[Path],
    plan: ReadingPlan,
    on_progress: OnProgress | None = None,
) -> Iterator[Answer]:
    """Answer each path once, in order; of windows with a length in the plan.

    Where a process that reads dies, the file whose turn it is is read by one process alone, and is
    `UnreadVideo` if that dies, too; the others go on.

    Raises:
        ConfigError: see `Predictor`.
    """
    waiting = _SizedPaths(paths) if isinstance(paths, Sized) else _Paths(paths)
    asked = waiting.asked
    while True:
        try:
            for answer in _answer(predictor, waiting, plan, on_progress):
                asked.popleft()
                yield answer
            return
        except WorkerDiedError:
            if not asked:
                raise
        yield _answer_alone(predictor, asked.popleft(), plan)


class _Paths:
    """Paths that have no answer yet: those that were asked for, then the rest."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.asked = deque[Path]()
        self._rest = iter(paths)

    def __iter__(self) -> Iterator[Path]:
        yield from list(self.asked)
        for path in self._rest:
            self.asked.append(path)
            yield path


class _SizedPaths(_Paths):
    """As many as are known: few are shared between the processes that read."""

    def __init__(self, paths: Iterable[Path]) -> None:
        known = list(paths)
        super().__init__(known)
        self._num_paths = len(known)

    def __len__(self) -> int:
        return self._num_paths


def _answer_alone(predictor: Predictor, path: Path, plan: ReadingPlan) -> Answer:
    try:
        (answer,) = _answer(predictor, [path], replace(plan, num_workers=1), None)
    except WorkerDiedError as error:
        return UnreadVideo(str(path), error)
    return answer


def _answer(
    predictor: Predictor,
    paths: Iterable[Path],
    plan: ReadingPlan,
    on_progress: OnProgress | None,
) -> Iterator[Answer]:
    errors: list[VideoDecodeError] = []
    how: dict[str, Any] = {
        "top_k": plan.top_k,
        "batch_size": plan.batch_size,
        "num_workers": plan.num_workers,
        "on_error": errors.append,
    }
    found: Iterator[VideoPrediction | Timeline]
    if plan.length is None:
        found = predictor.predict_many(paths, **how)
    else:
        found = predictor.timelines(paths, **plan.length._asdict(), **how, on_progress=on_progress)
    for answer in found:
        yield from _take(errors)
        yield answer
    yield from _take(errors)


def _take(errors: list[VideoDecodeError]) -> Iterator[UnreadVideo]:
    while errors:
        error = errors.pop(0)
        yield UnreadVideo(str(error.path), error)
