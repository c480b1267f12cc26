"""mAP of the segments that a classifier of windows finds in untrimmed videos."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from stvit_video.datasets.windows import WindowLength
from stvit_video.detection.temporal.annotations import (
    AnnotatedSegments,
    Segments,
    find_videos,
    read_segments,
)
from stvit_video.detection.temporal.find import (
    MOST_OVERLAP,
    MOST_SEGMENTS,
    find_segments,
)
from stvit_video.detection.temporal.temporal_ap import temporal_average_precision
from stvit_video.errors import DatasetError, VideoDecodeError, did_you_mean
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.timeline import Timeline
from stvit_video.report.json_file import write_json
from stvit_video.report.progress import count_videos
from stvit_video.report.tables import Column, Table, make_table

OVERLAPS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
ACTIVITYNET = OVERLAPS[2:]
"""Temporal IoUs whose mean ActivityNet reports."""
THUMOS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""The same of THUMOS14."""


class SegmentSet(NamedTuple):
    """What is measured: annotated segments, and where the videos are."""

    annotations: Path
    media: Path | None = None
    """Folder of the videos; None for that of the annotations."""
    subset: str = "validation"


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentReport:
    """mAP of segments and how it was measured."""

    model: str
    annotations: str
    subset: str
    map_at: dict[str, float]
    """Mean over the classes, by temporal IoU."""
    activitynet_map: float
    """Mean over 0.5:0.05:0.95."""
    thumos_map: float
    """Mean over 0.3:0.1:0.7."""
    num_classes: int
    num_videos: int
    num_annotated: int
    """Segments."""
    num_found: int
    """The same."""
    window_seconds: float | None
    """None for the length of a clip of the model."""
    stride_seconds: float | None
    """None for the window."""
    most_segments: int
    """Found in a video at most."""
    most_overlap: float
    """IoU from which on the lesser of two segments of a class was dropped."""
    failed: tuple[str, ...]
    """Videos that could not be read; the mean is over the others."""
    device: str
    seconds: float


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
    folder = videos.annotations.parent if videos.media is None else videos.media
    paths = find_videos(annotated, videos.annotations, folder)
    failed: dict[str, str] = {}
    number_of = {str(path): number for number, path in enumerate(paths)}
    parts = []
    console, label = progress
    with count_videos(console, label, total=len(paths)) as advance:

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
    lost = [number for path, number in number_of.items() if path in failed]
    truth = annotated.truth.pick(~np.isin(annotated.truth.video, lost))
    if not len(truth.video):
        first = next(iter(failed.values()))
        raise DatasetError(f"no video with segments can be read; the first: {first}")
    found = Segments(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    if predictions is not None:
        write_json(_results(found, annotated), predictions)
    precisions = temporal_average_precision(
        found, truth, num_classes=len(annotated.labels), overlaps=OVERLAPS
    )
    means = dict(zip(OVERLAPS, np.nanmean(precisions, axis=1).tolist(), strict=True))
    return SegmentReport(
        model=predictor.model.name,
        annotations=str(videos.annotations),
        subset=videos.subset,
        map_at={f"{overlap:g}": mean for overlap, mean in means.items()},
        activitynet_map=float(np.mean([means[overlap] for overlap in ACTIVITYNET])),
        thumos_map=float(np.mean([means[overlap] for overlap in THUMOS])),
        num_classes=len(annotated.labels),
        num_videos=len(paths),
        num_annotated=len(truth.video),
        num_found=len(found.video),
        window_seconds=length.window,
        stride_seconds=length.stride,
        most_segments=MOST_SEGMENTS,
        most_overlap=MOST_OVERLAP,
        failed=tuple(failed.values()),
        device=str(predictor.device),
        seconds=time.perf_counter() - begin,
    )


def segment_table(report: SegmentReport) -> Table:
    """Make the table of the mean at each temporal IoU, and of the two averages."""
    percent = Column(title="mAP %", format=".2f")
    rows: list[list[str | float]] = [[at, 100 * mean] for at, mean in report.map_at.items()]
    rows.append(["0.5:0.05:0.95 (ActivityNet)", 100 * report.activitynet_map])
    rows.append(["0.3:0.1:0.7 (THUMOS)", 100 * report.thumos_map])
    window = "of a clip" if report.window_seconds is None else f"of {report.window_seconds:g} s"
    stride = report.stride_seconds or report.window_seconds
    every = "one behind the other" if stride is None else f"one every {stride:g} s"
    return make_table(
        f"{report.model} on {report.annotations}, {report.subset}",
        ["temporal IoU", percent],
        rows,
        note=f"{report.num_classes} classes, {report.num_videos} videos, {report.num_annotated}"
        f" annotated and {report.num_found} found segments; windows {window}, {every};"
        f" {len(report.failed)} videos failed; {report.seconds:.0f} s on {report.device}",
    )


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


def _results(found: Segments, annotated: AnnotatedSegments) -> dict[str, Any]:
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in annotated.videos}
    rows = zip(*(column.tolist() for column in found), strict=True)
    for video, (start, end), label, score in rows:
        results[annotated.videos[video]].append(
            {
                "label": annotated.labels[label],
                "score": score,
                "segment": [round(start, 6), round(end, 6)],
            }
        )
    return {"version": "VERSION 1.3", "results": results, "external_data": {}}
