"""Predictions of very many videos into a folder, which the same command fills further.

Every video has one record, also one that cannot be read. Here or, by Ray, on many machines.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from stvit_video.datasets.from_settings import sampling_scheme
from stvit_video.datasets.named_videos import NamedVideos
from stvit_video.errors import ConfigError
from stvit_video.evaluation.answers import ReadingPlan, UnreadVideo, answer_each
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.score_folder import identify_model
from stvit_video.evaluation.shards import PredictionFolder
from stvit_video.files import holding
from stvit_video.report.json_file import as_plain
from stvit_video.report.progress import count_videos

MakePredictor = Callable[..., Predictor]
"""`Predictor.load` of a checkpoint, which takes a `device`."""


class Counted(NamedTuple):
    """What became of some videos."""

    num_done: int
    num_failed: int


Engine = Callable[[PredictionFolder, Iterable[Path]], Iterator[Counted]]
"""Fills a folder with the records of paths, and tells from time to time of how many more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkRun:
    """What a run did."""

    folder: Path
    num_done: int
    num_failed: int
    num_before: int
    """Videos of these that had a record before."""

    def describe(self) -> str:
        """Say it in a line."""
        before = f"; {self.num_before} had been done before" if self.num_before else ""
        return (
            f"{self.folder}: {self.num_done} video{'s' * (self.num_done != 1)} done,"
            f" {self.num_failed} of them unreadable{before}"
        )


def predict_in_bulk(
    folder: Path,
    videos: NamedVideos,
    engine: Engine,
    *,
    identity: dict[str, Any],
    console: Console,
) -> BulkRun:
    """Fill `folder` with a record of each video that has none there.

    Raises:
        ConfigError: the folder is for something else, or in use.
        WriteError: the disk refuses a shard.
    """
    predictions = PredictionFolder(folder)
    with holding(folder):
        predictions.begin(identity)
        named = _Counting(videos.paths)
        num_done = num_failed = 0
        with count_videos(console, "classifying", total=videos.total, transient=True) as advance:
            for more in engine(predictions, predictions.left(named)):
                num_done += more.num_done
                num_failed += more.num_failed
                advance(more.num_done)
    return BulkRun(
        folder=folder,
        num_done=num_done,
        num_failed=num_failed,
        num_before=named.count - num_done,
    )


class _Counting:
    """Paths, counted as they pass."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = paths
        self.count = 0

    def __iter__(self) -> Iterator[Path]:
        for path in self.paths:
            self.count += 1
            yield path


def local_engine(predictor: Predictor, plan: ReadingPlan, *, shard_size: int) -> Engine:
    """Return what classifies here, all videos in one go."""

    def fill(folder: PredictionFolder, paths: Iterable[Path]) -> Iterator[Counted]:
        with folder.filling(shard_size) as shards:
            for answer in answer_each(predictor, paths, plan):
                shards.add(answer.as_json())
                yield Counted(1, int(isinstance(answer, UnreadVideo)))

    return fill


def fill_shard(
    predictor: Predictor, plan: ReadingPlan, folder: PredictionFolder, paths: list[Path]
) -> Counted:
    """Write the records of `paths` as one shard."""
    answers = list(answer_each(predictor, paths, plan))
    folder.write([answer.as_json() for answer in answers])
    return Counted(len(answers), sum(isinstance(answer, UnreadVideo) for answer in answers))


def identify_predictions(predictor: Predictor, plan: ReadingPlan) -> dict[str, Any]:
    """Say what predictions depend on: weights, views, windows; not on how they are computed."""
    model, views = predictor.model, predictor.views
    sampling = sampling_scheme(model.preprocessing, predictor.data, num_clips=views.num_clips)
    return {
        **identify_model(model),
        **asdict(views),
        "top_k": plan.top_k,
        "windows": None if plan.length is None else plan.length._asdict(),
        "sampling": as_plain(asdict(sampling)),
        "preprocessing": as_plain(asdict(model.preprocessing)),
    }


def check_bulk(plan: ReadingPlan) -> None:
    """Refuse to read where a file that brings its reader down would end the run.

    Raises:
        ConfigError: there are no processes that read.
    """
    if not plan.num_workers:
        raise ConfigError(
            "num_workers (0) must be at least 1 with output_dir: a file that brings its reader down"
            " must not end the run"
        )
