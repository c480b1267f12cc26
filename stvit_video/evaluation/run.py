"""One evaluation: a model, the videos of a data set, several views of each."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

from stvit_video.datasets.from_settings import read_videos, sampling_scheme
from stvit_video.datasets.manifest import Manifest, check_labels
from stvit_video.datasets.sampler import Share
from stvit_video.datasets.upkeep.stopping import stoppable_at
from stvit_video.errors import WorkerDiedError
from stvit_video.evaluation.evaluate import VideoScores, list_predictions
from stvit_video.evaluation.processes import Scoring, score_on_devices
from stvit_video.evaluation.report import EvaluationReport, report_accuracy
from stvit_video.evaluation.score_files import write_score_files
from stvit_video.evaluation.score_folder import AnswerFolder, ScoreFolder, identify
from stvit_video.evaluation.team import Team, joined_team
from stvit_video.files import holding
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.json_file import write_json
from stvit_video.report.progress import count_videos
from stvit_video.report.terminal import say
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig


class Results(NamedTuple):
    """What an evaluation writes; None is not written."""

    folder: Path | None = None
    """Every score, as it comes; an evaluation that was stopped goes on from there."""
    predictions: Path | None = None
    """JSON of each video's best classes."""


def run_evaluation(
    model: VideoModel,
    videos: str | Path,
    *,
    data: DataConfig,
    views: ViewConfig,
    devices: Sequence[torch.device],
    batch_size: int,
    results: Results,
    progress: tuple[Console, str],
) -> EvaluationReport:
    """Measure the accuracy of `model` on the data set `videos`.

    Each of `devices` scores a share of the videos, in a process of its own where there are several.
    `progress` is where the bar is shown, and its label.

    Raises:
        StvitVideoError: the videos or the folder cannot be used, no video decodes, or a process
            has died.
    """
    start = time.perf_counter()
    manifest = _read_list(model, videos)
    sampling = sampling_scheme(model.preprocessing, data, num_clips=views.num_clips)
    folder = None
    if results.folder is not None:
        folder = ScoreFolder(results.folder, views=views, num_classes=model.num_classes)
    scoring = Scoring(
        model=model,
        preprocessing=model.preprocessing,
        records=manifest.records,
        data=data,
        views=views,
        batch_size=batch_size,
        multi_label=manifest.is_multi_label,
        folder=folder,
    )

    def identity() -> dict[str, Any]:
        return identify(model, manifest, views=views, sampling=sampling)

    with (
        joined_team() as team,
        scored(scoring, identity, team, devices=devices, progress=progress) as result,
    ):
        report = report_accuracy(
            manifest,
            result,
            videos=videos,
            views=views,
            sampling=sampling,
            device=_name_devices(devices, team),
            seconds=time.perf_counter() - start,
        )
        if team.is_first:
            _write(results, folder, manifest, result, report)
    return report


def _read_list(model: VideoModel, videos: str | Path) -> Manifest:
    manifest = read_videos(videos, class_names=model.labels or None)
    if model.multi_label:
        manifest = manifest.as_multi_label()
    check_labels(manifest.records, num_classes=model.num_classes, label_sets=manifest.label_sets)
    return manifest


@contextmanager
def scored(
    scoring: Scoring,
    identity: Callable[[], dict[str, Any]],
    team: Team,
    *,
    devices: Sequence[torch.device],
    progress: tuple[Console, str],
) -> Iterator[VideoScores]:
    """Score all videos that the folder, which is for what `identity` says, has no scores of.

    Gives the scores of all; the folder is kept for this process until the block ends.
    """
    folder = scoring.folder
    with ExitStack() as held, _telling_what_is_kept(folder) as stop_here:

        def take_up() -> VideoScores:
            if folder is None:
                return VideoScores.of({})
            held.enter_context(holding(folder.path))
            folder.begin(identity())
            return folder.read(multi_label=scoring.multi_label)

        before = team.from_first(take_up)
        yield _score_rest(
            scoring, before, team, devices=devices, progress=progress, stop_here=stop_here
        )


def _score_rest(
    scoring: Scoring,
    before: VideoScores,
    team: Team,
    *,
    devices: Sequence[torch.device],
    progress: tuple[Console, str],
    stop_here: Callable[[], None],
) -> VideoScores:
    """Score all videos but those that were scored `before`; return the scores of all."""
    is_left = torch.ones(len(scoring.records), dtype=torch.bool)
    is_left[before.video_index] = False
    left = is_left.nonzero().flatten()
    console, label = progress
    if len(before.video_index):
        say(console, f"{len(before.video_index)} of {len(is_left)} videos were scored before")
    if not len(left):
        return VideoScores.merge([before])
    total = -(-len(left) // team.size)
    label += f" (1 of {team.size} processes)" if team.size > 1 else ""
    with count_videos(console, label, total=total) as count:

        def advance(num_videos: int) -> None:
            count(num_videos)
            stop_here()

        def score() -> list[VideoScores]:
            if team.size == 1:
                return score_on_devices(scoring, left, devices, advance)
            return [scoring.run(Share(team.rank, team.size, left), devices[0], advance)]

        parts = team.from_all(score)
    return VideoScores.merge([before, *chain.from_iterable(parts)])


def _write(
    results: Results,
    folder: ScoreFolder | None,
    manifest: Manifest,
    result: VideoScores,
    report: EvaluationReport,
) -> None:
    if folder is not None:
        write_score_files(folder, manifest, result, report)
    if results.predictions is not None:
        write_json(list_predictions(result, manifest), results.predictions)


def _name_devices(devices: Sequence[torch.device], team: Team) -> str:
    number = team.size * len(devices)
    return str(devices[0]) if number == 1 else f"{number} x {devices[0].type}"


@contextmanager
def _telling_what_is_kept(folder: AnswerFolder | None) -> Iterator[Callable[[], None]]:
    """Say in the line of a stop, or of a process that died, what is kept.

    A signal stops the block where it calls what it is given.
    """
    kept = f"; {folder.path} keeps what was scored: the same command goes on" if folder else ""
    with stoppable_at(f"stopped{kept}") as stop_here:
        try:
            yield stop_here
        except WorkerDiedError as error:
            stop_here()  # the signal went to that process, too
            raise WorkerDiedError(f"{error}{kept}") from error
