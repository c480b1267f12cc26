"""One evaluation: a model, the videos of a data set, several views of each."""

from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from stvit_video.datasets.coverage import read_coverage
from stvit_video.datasets.from_settings import (
    build_evaluation_loader,
    read_videos,
    sampling_scheme,
)
from stvit_video.datasets.manifest import check_labels
from stvit_video.evaluation.evaluate import EvaluationReport, evaluate_model, list_predictions
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.json_file import write_json
from stvit_video.report.progress import count_videos
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig


def run_evaluation(
    model: VideoModel,
    videos: str | Path,
    *,
    data: DataConfig,
    views: ViewConfig,
    device: torch.device,
    batch_size: int,
    predictions: str | Path | None,
    progress: tuple[Console, str],
) -> EvaluationReport:
    """Measure the accuracy of `model` on the data set `videos`; write each video's best classes.

    `predictions` is a JSON file, or None; `progress` where the bar is shown, and its label.
    """
    class_names = model.labels or None
    manifest = read_videos(videos, class_names=class_names)
    check_labels(manifest.records, num_classes=model.num_classes)
    loader = build_evaluation_loader(
        manifest.records,
        model.preprocessing,
        data=data,
        views=views,
        batch_size=batch_size,
        device=device,
    )
    console, label = progress
    with count_videos(console, label, total=len(manifest.records)) as advance:
        report, result = evaluate_model(
            model,
            loader,
            preprocessing=model.preprocessing,
            views=views,
            device=device,
            batch_size=batch_size,
            advance=advance,
        )
    coverage = read_coverage(videos, found=len(manifest.records), failed=len(report.failed))
    report = replace(
        report,
        num_annotated=coverage.annotated,
        sampling=sampling_scheme(model.preprocessing, data, num_clips=views.num_clips),
    )
    if predictions is not None:
        paths = [record.path for record in manifest.records]
        write_json(list_predictions(result, paths, manifest.class_names), predictions)
    return report
