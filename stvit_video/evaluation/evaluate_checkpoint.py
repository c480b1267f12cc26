"""Measure the accuracy of a trained model from a script or a notebook."""

from pathlib import Path

from stvit_video.evaluation.report import EvaluationReport
from stvit_video.evaluation.run import Results, run_evaluation
from stvit_video.evaluation.trained_settings import trained_settings
from stvit_video.models.checkpoint import load_model
from stvit_video.models.device import choose_devices
from stvit_video.report.json_file import result_console
from stvit_video.settings.views import Combine


def evaluate(
    checkpoint: str | Path,
    videos: str | Path,
    *,
    num_clips: int | None = None,
    num_crops: int | None = None,
    combine: Combine | None = None,
    batch_size: int = 16,
    num_workers: int | None = None,
    device: str = "auto",
) -> EvaluationReport:
    """Measure a classifier of videos on a folder of class folders or a manifest, under one bar.

    Views and sampling are those of its training, but for what is given; `batch_size` counts views.
    `stvit-video evaluate` also keeps every score, and measures detectors.

    Raises:
        MissingFileError: there is no such checkpoint, or there are no such videos.
        CheckpointError: it holds no model, or weights and card do not agree.
        ConfigError: a value is out of range, or there is no such device.
        DatasetError: the videos have other classes, or none decodes.
        WorkerDiedError: a process that reads was killed.
    """
    data, views = trained_settings(
        checkpoint,
        views={"num_clips": num_clips, "num_crops": num_crops, "combine": combine},
        data={"num_workers": num_workers},
    )
    return run_evaluation(
        load_model(checkpoint),
        videos,
        data=data,
        views=views,
        devices=choose_devices(device),
        batch_size=batch_size,
        results=Results(),
        progress=(result_console("-"), "evaluating"),
    )
