"""What `stvit-video evaluate` measures of a checkpoint beside the classes of whole videos."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from stvit_video.datasets.windows import WindowLength
from stvit_video.detection.actions.evaluate import FilmSet, run_action_evaluation
from stvit_video.detection.actions.network import ACTION_IDS, ActionDetector
from stvit_video.detection.actions.report import action_tables
from stvit_video.detection.temporal.evaluate import (
    SegmentSet,
    run_segment_evaluation,
    segment_table,
)
from stvit_video.errors import ConfigError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.trained_settings import trained_detector, trained_settings
from stvit_video.models.checkpoint import find_card, load_model
from stvit_video.models.device import choose_device
from stvit_video.report.json_file import result_console, write_json
from stvit_video.report.tables import print_tables
from stvit_video.settings.detection import ActionFilesConfig
from stvit_video.settings.durations import parse_duration


class Asked(NamedTuple):
    """What the command was asked for."""

    media: Path | None
    actions: ActionFilesConfig
    window: str | None
    stride: str | None
    subset: str | None
    batch_size: int
    predictions: Path | None
    json: Path | None
    device: str


def evaluate_other_task(
    checkpoint: str,
    annotations: Path,
    asked: Asked,
    reading: Mapping[str, Any],
    views: Mapping[str, Any],
    *,
    output_dir: Path | None,
) -> bool:
    """Measure actions of a detector, or segments where windows are asked for; tell whether it did.

    `reading` and `views` are what is asked of decoding and of views.

    Raises:
        StvitVideoError: an option has no place in the task, or what the task raises.
    """
    card = find_card(checkpoint)
    is_detector = card is not None and ACTION_IDS in card.extra
    has_windows = asked.window is not None or asked.stride is not None
    own = {"media": asked.media, "subset": asked.subset, "window": asked.window or asked.stride}
    if asked.actions != ActionFilesConfig():
        own["actions"] = "given"
    if is_detector:
        task, given = "a detector of actions", own | {"output_dir": output_dir, **views}
        _refuse(task, given, but=("media", "actions"))
        _measure_actions(checkpoint, annotations, asked, reading)
    elif has_windows:
        given = own | {"output_dir": output_dir}
        _refuse("segments", given, but=("media", "subset", "window"))
        _measure_segments(checkpoint, annotations, asked, reading, views)
    else:
        _refuse("the classes of whole videos", own, but=())
    return is_detector or has_windows


def _refuse(task: str, given: Mapping[str, Any], *, but: tuple[str, ...]) -> None:
    for name, value in given.items():
        if value is not None and name not in but:
            raise ConfigError(f"{name} ({value}) has no place in evaluating {task}; leave it out")


def _measure_actions(
    checkpoint: str, annotations: Path, asked: Asked, reading: Mapping[str, Any]
) -> None:
    data, views = trained_settings(checkpoint, views={}, data=reading)
    trained = trained_detector(checkpoint)
    files = asked.actions
    if files.first_second is None:
        files = replace(files, first_second=trained.first_second)
    console = result_console(asked.json)
    report = run_action_evaluation(
        ActionDetector.load(checkpoint),
        FilmSet(annotations, asked.media, files),
        data=data,
        views=views,
        max_size=trained.max_size,
        device=choose_device(asked.device),
        batch_size=asked.batch_size,
        predictions=asked.predictions,
        progress=(console, "evaluating"),
    )
    write_json(report, asked.json)
    print_tables(console, action_tables(report), "table")


def _measure_segments(
    checkpoint: str,
    annotations: Path,
    asked: Asked,
    reading: Mapping[str, Any],
    views: Mapping[str, Any],
) -> None:
    seconds = {
        name: None if text is None else parse_duration(name, text)
        for name, text in (("window", asked.window), ("stride", asked.stride))
    }
    data, view_settings = trained_settings(checkpoint, views=views, data=reading)
    console = result_console(asked.json)
    report = run_segment_evaluation(
        Predictor(load_model(checkpoint), data=data, views=view_settings, device=asked.device),
        SegmentSet(annotations, asked.media, asked.subset or "validation"),
        length=WindowLength(**seconds),
        batch_size=asked.batch_size,
        num_workers=data.num_workers,
        predictions=asked.predictions,
        progress=(console, "evaluating"),
    )
    write_json(report, asked.json)
    print_tables(console, [segment_table(report)], "table")
