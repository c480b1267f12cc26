"""What a measurement of frame mAP found: a record, tables, and AVA's form of results.

Legend: N boxes, K classes that are measured.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stvit_video.datasets.ava.annotations import ActionBoxes
from stvit_video.datasets.ava.label_map import ActionLabels
from stvit_video.files import replacing
from stvit_video.report.counts import counted
from stvit_video.report.tables import Column, Table, make_table


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionReport:
    """Frame mAP and how it was measured."""

    model: str
    annotations: str
    boxes: str
    """`annotated`, or the file of the detected persons."""
    person_threshold: float | None
    """Least score of those."""
    frame_map: float | None
    """Mean over the classes that are annotated, at IoU 0.5; None where none is."""
    per_class: tuple[dict[str, Any], ...]
    """Name, number of annotated boxes and average precision of each class."""
    num_frames: int
    """Key frames that are annotated and not excluded."""
    num_excluded: int
    num_boxes: int
    """Boxes that were scored."""
    most_in_frame: int
    """Detections of a key frame that count, as in the official evaluation."""
    num_frames_of_clip: int
    short_side: int
    """Of a clip, in pixels; the whole frame is read."""
    failed: tuple[str, ...]
    """Key frames that could not be read; the mean is over the others."""
    device: str
    seconds: float


def per_class(
    labels: ActionLabels, precisions: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[dict[str, Any], ...]:
    """Say of each class how often it is annotated, and its average precision, (K,) both."""
    return tuple(
        {
            "action_id": number,
            "label": name,
            "annotated": count,
            "average_precision": None if math.isnan(precision) else precision,
        }
        for number, name, count, precision in zip(
            labels.ids, labels.names, counts.tolist(), precisions.tolist(), strict=True
        )
    )


def write_actions(
    path: Path,
    boxes: ActionBoxes,
    scores: NDArray[np.float32],
    ids: Sequence[int],
    failed: dict[int, str],
) -> None:
    """Write `video_id,second,x1,y1,x2,y2,action_id,score`, as AVA's evaluation reads it.

    Raises:
        WriteError: the disk refuses it.
    """
    keys = boxes.keys()
    with replacing(path) as partial_path, partial_path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for box, (frame, sides) in enumerate(
            zip(boxes.box_frame.tolist(), boxes.boxes.tolist(), strict=True)
        ):
            if frame in failed:
                continue
            video, second = keys[frame]
            place = [video, f"{second:04g}", *(f"{side:.6g}" for side in sides)]
            values = scores[box].tolist()
            writer.writerows(
                [*place, number, f"{score:.9g}"] for number, score in zip(ids, values, strict=True)
            )


def action_tables(report: ActionReport) -> list[Table]:
    """Make the tables of the mean and of the classes."""
    persons = report.boxes
    if report.person_threshold is not None:
        persons += f", scores from {report.person_threshold:g}"
    mean = None if report.frame_map is None else 100 * report.frame_map
    note = (
        f"IoU 0.5, mean over the annotated classes; clips of {report.num_frames_of_clip} frames,"
        f" short side {report.short_side}, whole frames; at most {report.most_in_frame} detections"
        f" of a key frame count; {counted(len(report.failed), 'key frame')} failed,"
        f" {report.num_excluded} are excluded; {report.seconds:.0f} s on {report.device}"
    )
    overall = make_table(
        f"{report.model} on {report.annotations}",
        ["boxes", "key frames", "boxes scored", Column(title="frame mAP %", format=".2f")],
        [[persons, report.num_frames, report.num_boxes, mean]],
        note=note,
    )
    found = [row for row in report.per_class if row["average_precision"] is not None]
    found.sort(key=lambda row: -row["average_precision"])
    classes = make_table(
        "average precision of each class",
        ["action", "annotated", Column(title="AP %", format=".2f")],
        [[row["label"], row["annotated"], 100 * row["average_precision"]] for row in found],
    )
    return [classes, overall]
