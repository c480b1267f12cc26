"""What `stvit-video evaluate` measures: the classes of videos, objects in images, actions of
persons, or segments. A task whose turn it is not is not imported.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from stvit_video.datasets.windows import WindowLength
from stvit_video.detection.task import task_of
from stvit_video.errors import ConfigError
from stvit_video.evaluation.report import print_report
from stvit_video.evaluation.run import Results, run_evaluation
from stvit_video.evaluation.team import is_first_process
from stvit_video.evaluation.trained_settings import trained_detector, trained_settings
from stvit_video.models.checkpoint import load_model
from stvit_video.models.device import choose_device, choose_devices
from stvit_video.report.drawn_table import print_table
from stvit_video.report.json_file import result_console, write_json
from stvit_video.settings.detection import ActionFilesConfig
from stvit_video.settings.durations import parse_duration


class Annotated(NamedTuple):
    """What belongs to annotations that are no list of videos."""

    media: Path | None
    actions: ActionFilesConfig
    subset: str | None


class Asked(NamedTuple):
    """What the command was asked for."""

    views: Mapping[str, Any]
    reading: Mapping[str, Any]
    """Of decoding."""
    annotated: Annotated
    window: str | None
    stride: str | None
    batch_size: int
    device: str
    output_dir: Path | None
    predictions: Path | None
    json: Path | None

    def refuse(self, task: str, *known: str) -> None:
        """Refuse options that a task does not know.

        Raises:
            ConfigError: naming the first that is given.
        """
        media, actions, subset = self.annotated
        given = {
            "media": media,
            "actions": None if actions == ActionFilesConfig() else "given",
            "subset": subset,
            "window": self.window,
            "stride": self.stride,
        }
        for name, value in given.items():
            if value is not None and name not in known:
                raise ConfigError(f"{name} ({value}) has no place in evaluating {task}")


def run_evaluate(checkpoint: str, videos: Path, asked: Asked) -> None:
    """Measure what the checkpoint is for, print and write it.

    Raises:
        StvitVideoError: an option has no place in the task, or what the task raises.
    """
    task = task_of(checkpoint)
    if task == "objects":
        asked.refuse("a detector of objects", "media")
        _measure_objects(checkpoint, videos, asked)
    elif task == "actions":
        asked.refuse("a detector of actions", "media", "actions")
        _refuse("a detector of actions", asked.views, output_dir=asked.output_dir)
        _measure_actions(checkpoint, videos, asked)
    elif asked.window is not None or asked.stride is not None:
        asked.refuse("segments", "media", "subset", "window", "stride")
        _refuse("segments", {}, output_dir=asked.output_dir)
        _measure_segments(checkpoint, videos, asked)
    else:
        asked.refuse("the classes of whole videos")
        _measure_classes(checkpoint, videos, asked)


def _refuse(task: str, views: Mapping[str, Any], **given: object) -> None:
    for name, value in {**views, **given}.items():
        if value is not None:
            raise ConfigError(f"{name} ({value}) has no place in evaluating {task}")


def _measure_objects(checkpoint: str, annotations: Path, asked: Asked) -> None:
    from stvit_video.detection.pictures.run import (
        Reading,
        refuse_of_clips,
        run_detection_evaluation,
    )

    backend = asked.reading["backend"]
    refuse_of_clips(checkpoint, **asked.views, backend=backend, output_dir=asked.output_dir)
    run_detection_evaluation(
        checkpoint,
        annotations,
        media=asked.annotated.media,
        reading=Reading(
            choose_devices(asked.device)[0],
            asked.batch_size,
            asked.reading["num_workers"],
            asked.reading["max_pixels"],
        ),
        predictions=asked.predictions,
        json=asked.json,
    )


def _measure_actions(checkpoint: str, annotations: Path, asked: Asked) -> None:
    from stvit_video.detection.actions.evaluate import FilmSet, run_action_evaluation
    from stvit_video.detection.actions.network import ActionDetector
    from stvit_video.detection.actions.report import action_tables

    data, views = trained_settings(checkpoint, views={}, data=asked.reading)
    trained = trained_detector(checkpoint)
    files = asked.annotated.actions
    if files.first_second is None:
        files = replace(files, first_second=trained.first_second)
    console = result_console(asked.json)
    report = run_action_evaluation(
        ActionDetector.load(checkpoint),
        FilmSet(annotations, asked.annotated.media, files),
        data=data,
        views=views,
        max_size=trained.max_size,
        device=choose_device(asked.device),
        batch_size=asked.batch_size,
        predictions=asked.predictions,
        progress=(console, "evaluating"),
    )
    write_json(report, asked.json)
    for table in action_tables(report):
        print_table(console, table)


def _measure_segments(checkpoint: str, annotations: Path, asked: Asked) -> None:
    from stvit_video.detection.temporal.evaluate import SegmentSet, run_segment_evaluation
    from stvit_video.detection.temporal.report import segment_table
    from stvit_video.evaluation.predictor import Predictor

    seconds = {
        name: None if text is None else parse_duration(name, text)
        for name, text in (("window", asked.window), ("stride", asked.stride))
    }
    data, views = trained_settings(checkpoint, views=asked.views, data=asked.reading)
    model = load_model(checkpoint)
    console = result_console(asked.json)
    media, _, subset = asked.annotated
    report = run_segment_evaluation(
        Predictor(model, data=data, views=views, device=asked.device),
        SegmentSet(annotations, media, subset or "validation"),
        length=WindowLength(**seconds),
        batch_size=asked.batch_size,
        num_workers=data.num_workers,
        predictions=asked.predictions,
        progress=(console, "evaluating"),
    )
    write_json(report, asked.json)
    print_table(console, segment_table(report))


def _measure_classes(checkpoint: str, videos: Path, asked: Asked) -> None:
    model = load_model(checkpoint)
    data, views = trained_settings(checkpoint, views=asked.views, data=asked.reading)
    console = result_console(asked.json) if is_first_process() else Console(quiet=True)
    report = run_evaluation(
        model,
        videos,
        data=data,
        views=views,
        devices=choose_devices(asked.device),
        batch_size=asked.batch_size,
        results=Results(folder=asked.output_dir, predictions=asked.predictions),
        progress=(console, "evaluating"),
    )
    if is_first_process():
        write_json(report, asked.json)
    print_report(report, console)
