"""mAP of the segments that a classifier of windows finds in untrimmed videos."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from stvit_video.datasets.windows import WindowLength
from stvit_video.detection.temporal.annotations import (
    Segments,
    find_videos,
    read_segments,
)
from stvit_video.detection.temporal.find import (
    find_segments,
)
from stvit_video.detection.temporal.report import OVERLAPS, SegmentReport, results_of
from stvit_video.detection.temporal.temporal_ap import temporal_average_precision
from stvit_video.errors import DatasetError, VideoDecodeError, did_you_mean
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.timeline import Timeline
from stvit_video.report.json_file import write_json
from stvit_video.report.progress import count_videos


class SegmentSet(NamedTuple):
    """What is measured: annotated segments, and where the videos are."""

    annotations: Path
    media: Path | None = None
    """Folder of the videos; None for that of the annotations."""
    subset: str = "validation"


def run_segment_evaluation(
    predictor: Predictor,
    videos: SegmentSet,
    *,
    length: WindowLength,
    batch_size: int,
    num_workers: int,
    predictions: Path | None,
    progress: tuple[Console, str],
) -> SegmentReport:
    """Measure the mAP; `predictions` is a file in the form that ActivityNet's evaluation reads.

    Raises:
        StvitVideoError: annotations or videos cannot be used, or none can be read.
    """
    begin = time.perf_counter()
    annotated = read_segments(videos.annotations, subset=videos.subset)
    columns = _columns(annotated.labels, predictor.model.labels, videos.annotations)
    paths = find_videos(annotated, videos.annotations, videos.media)
    found, failed = _find_all(
        predictor,
        paths,
        columns,
        length=length,
        batch_size=batch_size,
        num_workers=num_workers,
        progress=progress,
    )
    lost = [number for number, path in enumerate(paths) if str(path) in failed]
    truth = annotated.truth.pick(~np.isin(annotated.truth.video, lost))
    if not len(truth.video):
        raise DatasetError(f"no video with segments can be read; {next(iter(failed.values()))}")
    if predictions is not None:
        write_json(results_of(found, annotated), predictions)
    num_classes = len(annotated.labels)
    precisions = temporal_average_precision(
        found, truth, num_classes=num_classes, overlaps=OVERLAPS
    )
    return SegmentReport(
        model=predictor.model.name,
        annotations=str(videos.annotations),
        subset=videos.subset,
        map_at=dict(zip(map(str, OVERLAPS), np.nanmean(precisions, axis=1).tolist(), strict=True)),
        num_classes=num_classes,
        num_videos=len(paths),
        num_annotated=len(truth.video),
        num_found=len(found.video),
        window_seconds=length.window,
        stride_seconds=length.stride,
        failed=tuple(failed.values()),
        device=str(predictor.device),
        seconds=time.perf_counter() - begin,
    )


def _find_all(
    predictor: Predictor,
    paths: Sequence[Path],
    columns: Sequence[int],
    *,
    length: WindowLength,
    batch_size: int,
    num_workers: int,
    progress: tuple[Console, str],
) -> tuple[Segments, dict[str, str]]:
    """Find the segments of all videos; of those that fail, the error by path."""
    failed: dict[str, str] = {}
    number_of = {str(path): number for number, path in enumerate(paths)}
    parts = []
    with count_videos(progress[0], progress[1], total=len(paths)) as advance:

        def fail(error: VideoDecodeError) -> None:
            failed[str(error.path)] = str(error)
            advance(1)

        for timeline in predictor.timelines(
            paths,
            window=length.window,
            stride=length.stride,
            batch_size=batch_size,
            num_workers=num_workers,
            on_error=fail,
        ):
            parts.append(_find(timeline, columns, number_of[timeline.video]))
            advance(1)
    return Segments.join(parts), failed


def _columns(wanted: Sequence[str], known: Sequence[str], path: Path) -> list[int]:
    for name in wanted:
        if name not in known:
            raise DatasetError(
                f"{path} has the class {name!r}, which is none of the {len(known)} of the model"
                f"{did_you_mean(name, list(known))}"
            )
    return [list(known).index(name) for name in wanted]


def _find(timeline: Timeline, columns: Sequence[int], video: int) -> Segments:
    times = np.array(list(timeline.own_times()))
    scores = timeline.scores[:, list(columns)].double().numpy()
    return find_segments(times, scores, video=video)
