"""Measure a detector on images in COCO's form: average precision of boxes and of masks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from rich.console import Console
from torch import nn

from stvit_video.datasets.coco.annotations import CocoSet
from stvit_video.datasets.coco.batches import build_image_loader
from stvit_video.datasets.coco.images import CocoImages
from stvit_video.datasets.item_loader import ItemLoader
from stvit_video.detection.pictures.answers import Detections, detect
from stvit_video.detection.pictures.average_precision import (
    AveragePrecision,
    Prediction,
    measure_precision,
)
from stvit_video.errors import CheckpointError, DatasetError
from stvit_video.evaluation.team import Team
from stvit_video.report.counts import counted
from stvit_video.report.drawn_table import print_table
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.report.terminal import say
from stvit_video.settings.data import MOST_PIXELS

_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionReport:
    """Average precision, with what it was measured on."""

    annotations: str
    """File of the objects."""
    num_images: int
    """That the file names."""
    num_failed: int
    """Of those, images that cannot be read: the figures are without them."""
    failed: tuple[str, ...]
    """Their errors."""
    num_objects: int
    """Of the images that were read, without crowds."""
    boxes: AveragePrecision
    masks: AveragePrecision | None
    """None of a detector that finds none, or where masks were not read."""
    device: str
    dtype: str
    batch_size: int
    elapsed_seconds: float
    """Reading and finding, without the comparison."""
    images_per_second: float


class Evaluation(NamedTuple):
    """What an evaluation found."""

    report: DetectionReport
    predictions: list[Prediction]
    """In COCO's results format, by image."""


class _Found(NamedTuple):
    """What one process found."""

    predictions: list[Prediction]
    image_ids: list[int]
    failures: list[tuple[int, str]]
    finds_masks: bool


def evaluate_detector(
    detector: nn.Module,
    coco_set: CocoSet,
    *,
    device: torch.device,
    batch_size: int = 4,
    num_workers: int = 2,
    progress: Callable[[int], object] = lambda num_images: None,
    max_pixels: int = MOST_PIXELS,
    team: Team | None = None,
) -> Evaluation:
    """Find the objects of all images and compare them; `detector` is left in eval mode.

    `progress` is told how many more images are done. The processes of a `team` share the images,
    and each returns the same.

    Raises:
        DatasetError: no image can be read.
        CheckpointError: the detector gives no numbers, or a class that the set does not have.
    """
    team = team or Team()
    start = time.perf_counter()
    detector.eval().to(device)
    dataset = CocoImages(coco_set, draws_masks=False, max_pixels=max_pixels)
    loader = build_image_loader(
        dataset, batch_size=batch_size, num_workers=num_workers, shuffle=False, seed=0
    ).on(device)
    parts = team.from_all(lambda: _find_all(detector, coco_set, loader, progress))
    seconds = time.perf_counter() - start
    predictions = sorted(
        (found for part in parts for found in part.predictions), key=lambda found: found["image_id"]
    )
    image_ids = [id for part in parts for id in part.image_ids]
    failures = sorted(failure for part in parts for failure in part.failures)
    if not image_ids:
        raise DatasetError(f"none of the {len(failures)} images can be read: {failures[0][1]}")
    boxes = measure_precision(coco_set, predictions, image_ids=image_ids, kind="bbox")
    masks = None
    if coco_set.masks is not None and any(part.finds_masks for part in parts):
        masks = measure_precision(coco_set, predictions, image_ids=image_ids, kind="segm")
    report = DetectionReport(
        annotations=str(coco_set.path),
        num_images=len(coco_set),
        num_failed=len(failures),
        failed=tuple(error for _, error in failures),
        num_objects=sum(entry.num_objects for entry in boxes.classes),
        boxes=boxes,
        masks=masks,
        device=_device_name(device),
        dtype=str(next((w.dtype for w in detector.parameters()), torch.float32))[6:],
        batch_size=batch_size,
        elapsed_seconds=seconds,
        images_per_second=len(image_ids) / seconds,
    )
    return Evaluation(report, predictions)


@torch.inference_mode()
def _find_all(
    detector: nn.Module, coco_set: CocoSet, loader: ItemLoader, progress: Callable[[int], object]
) -> _Found:
    predictions: list[Prediction] = []
    image_ids: list[int] = []
    failures: list[tuple[int, str]] = []
    finds_masks = False
    for batch in loader:
        failures += [(failed.image_index, str(failed.error)) for failed in batch.failures]
        answers = detect(detector, batch.images)
        for index, answer in zip(batch.index.tolist(), answers, strict=True):
            image_id = coco_set.images[index].id
            image_ids.append(image_id)
            predictions += as_predictions(answer, image_id, coco_set)
            finds_masks |= answer.masks is not None
        progress(len(batch.images) + len(batch.failures))
    return _Found(predictions, image_ids, failures, finds_masks)


def as_predictions(answer: Detections, image_id: int, coco_set: CocoSet) -> list[Prediction]:
    """Write what was found in an image as COCO's results."""
    unknown = [label for label in answer.labels if not 1 <= label <= coco_set.num_classes]
    if unknown:
        raise CheckpointError(
            f"the detector finds class {unknown[0]}, {coco_set.path} has 1..{coco_set.num_classes};"
            " give the annotations of its classes"
        )
    predictions = []
    for place, (left, top, right, bottom) in enumerate(answer.boxes.tolist()):
        prediction: Prediction = {
            "image_id": image_id,
            "category_id": coco_set.category_ids[answer.labels[place] - 1],
            "bbox": [left, top, right - left, bottom - top],
            "score": answer.scores[place],
        }
        if answer.masks is not None:
            prediction["segmentation"] = dict(answer.masks[place])
        predictions.append(prediction)
    return predictions


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def print_detection_report(report: DetectionReport, console: Console) -> None:
    """Print average precision, the classes that are worst, and the images that cannot be read."""
    print_table(console, precision_table(report))
    print_table(console, class_table(report))
    for error in report.failed:
        say(console, f"cannot be read: {error}")


def precision_table(report: DetectionReport) -> Table:
    """Make the table of average precision by overlap and size."""
    names = ("all", "50", "75", "small", "medium", "large")
    kinds = {"boxes": report.boxes, "masks": report.masks}
    rows = [
        [kind, *map(_percent, (p.ap, p.ap50, p.ap75, p.small, p.medium, p.large))]
        for kind, p in kinds.items()
        if p is not None
    ]
    num_read = report.num_images - report.num_failed
    return make_table(
        "average precision (%)",
        ["", *(Column(title=name, format=".1f") for name in names)],
        rows,
        note=f"{counted(report.num_objects, 'object')} in {num_read} of"
        f" {counted(report.num_images, 'image')} of"
        f" {report.annotations}; {report.images_per_second:.3g} images/s on {report.device},"
        f" {report.dtype}, batches of {report.batch_size}; small: up to 32x32 pixels, medium: up to"
        " 96x96",
    )


def class_table(report: DetectionReport) -> Table:
    """Make the table of the classes with the lowest average precision, the lowest first."""
    kind = "boxes" if report.masks is None else "masks"
    measured = [entry for entry in (report.masks or report.boxes).classes if entry.ap is not None]
    worst = sorted(measured, key=lambda entry: entry.ap or 0.0)[:_SHOWN]
    title = f"the {len(worst)} of {len(measured)} classes whose {kind} have the lowest precision"
    if len(worst) == len(measured):
        title = f"average precision of the {kind} by class, the lowest first"
    return make_table(
        title,
        ["class", "objects", *(Column(title=f"{t} (%)", format=".1f") for t in ("AP", "AP 50"))],
        [[e.label, e.num_objects, _percent(e.ap), _percent(e.ap50)] for e in worst],
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
