"""Classify all videos of a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from stvit_video.datasets.layouts.class_folders import find_videos_below
from stvit_video.errors import DatasetError, VideoDecodeError
from stvit_video.evaluation.prediction import VideoPrediction
from stvit_video.evaluation.predictor import Predictor
from stvit_video.report.progress import count_videos
from stvit_video.report.tables import Column, Table, make_table


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderPredictions:
    """The best classes of the videos of a folder."""

    predictions: tuple[VideoPrediction, ...]
    """Of the videos that decode, sorted by path."""
    num_found: int
    """Videos in the folder, at any depth."""
    failed: tuple[str, ...]
    """Errors of the videos that do not decode."""

    def as_json(self) -> dict[str, Any]:
        """Return the objects of the single videos, and what they are of."""
        return {
            "num_found": self.num_found,
            "num_decoded": len(self.predictions),
            "failed": list(self.failed),
            "predictions": [prediction.as_json() for prediction in self.predictions],
        }


def predict_folder(
    predictor: Predictor,
    folder: str | Path,
    *,
    top_k: int,
    batch_size: int,
    num_workers: int,
    progress: tuple[Console, str],
) -> FolderPredictions:
    """Classify the videos in `folder`, at any depth; `progress` is where a bar is, and its label.

    Raises:
        DatasetError: there are no videos, or none decodes.
    """
    paths = find_videos_below(Path(folder))
    predictions: list[VideoPrediction] = []
    failed: list[str] = []
    console, label = progress
    with count_videos(console, label, total=len(paths), transient=True) as advance:

        def fail(error: VideoDecodeError) -> None:
            failed.append(str(error))
            advance(1)

        for prediction in predictor.predict_many(
            paths, top_k=top_k, batch_size=batch_size, num_workers=num_workers, on_error=fail
        ):
            predictions.append(prediction)
            advance(1)
    if not predictions:
        raise DatasetError(f"none of the {len(failed)} videos decodes: {failed[0]}")
    return FolderPredictions(
        predictions=tuple(predictions), num_found=len(paths), failed=tuple(failed)
    )


def folder_table(title: str, found: FolderPredictions) -> Table:
    """Make the table of the best class of each video."""
    one = found.predictions[0]
    best = [(prediction.video, prediction.topk[0]) for prediction in found.predictions]
    return make_table(
        title,
        ["video", "label", Column(title="score", format=".3f")],
        [[video, entry["label"], entry["score"]] for video, entry in best],
        note=f"{one.model}, {one.views.num_clips} clips x {one.views.num_crops} crops;"
        f" {len(found.predictions)} of {found.num_found} videos decode",
    )
