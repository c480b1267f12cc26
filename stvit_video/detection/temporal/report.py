"""What a measurement of segments found: a record, a table, and ActivityNet's form of results."""

from dataclasses import dataclass, field
from typing import Any

from stvit_video.detection.temporal.annotations import AnnotatedSegments, Segments
from stvit_video.detection.temporal.find import MOST_OVERLAP, MOST_SEGMENTS
from stvit_video.report.counts import counted
from stvit_video.report.tables import Column, Table, make_table

OVERLAPS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
ACTIVITYNET = OVERLAPS[2:]
"""Temporal IoUs whose mean ActivityNet reports."""
THUMOS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""The same of THUMOS14."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentReport:
    """mAP of segments and how it was measured."""

    model: str
    annotations: str
    subset: str
    map_at: dict[str, float]
    """Mean over the classes, by temporal IoU."""
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
    most_segments: int = MOST_SEGMENTS
    """Found in a video at most."""
    most_overlap: float = MOST_OVERLAP
    """IoU from which on the lesser of two segments of a class was dropped."""
    failed: tuple[str, ...]
    """Videos that could not be read; the mean is over the others."""
    device: str
    seconds: float
    activitynet_map: float = field(init=False)
    """Mean over 0.5:0.05:0.95."""
    thumos_map: float = field(init=False)
    """Mean over 0.3:0.1:0.7."""

    def __post_init__(self) -> None:
        for name, overlaps in (("activitynet_map", ACTIVITYNET), ("thumos_map", THUMOS)):
            means = [self.map_at[str(overlap)] for overlap in overlaps]
            object.__setattr__(self, name, sum(means) / len(means))


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
        note=f"{counted(report.num_classes, 'class')}, {counted(report.num_videos, 'video')},"
        f" {report.num_annotated}"
        f" annotated and {report.num_found} found segments; windows {window}, {every};"
        f" {counted(len(report.failed), 'video')} failed; {report.seconds:.0f} s"
        f" on {report.device}",
    )


def results_of(found: Segments, annotated: AnnotatedSegments) -> dict[str, Any]:
    """Return the segments as ActivityNet's evaluation reads them."""
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
