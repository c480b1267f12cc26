"""Average precision as COCO measures it, by COCO's own code.

Legend: T overlaps that count as found, R recalls, K classes, A sizes, M most answers an image.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stvit_video.datasets.coco.annotations import CocoSet

Prediction = dict[str, Any]
"""Of COCO's results format: `image_id`, `category_id`, `bbox`, `score` and, of masks,
`segmentation`."""

_AT_50, _AT_75 = 0, 5
"""Places of these overlaps."""
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)
"""Places of sizes: up to 32 x 32, up to 96 x 96 pixels, and larger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPrecision:
    """Average precision of one class, in 0..1; None where it has no object."""

    label: str
    ap: float | None
    ap50: float | None
    num_objects: int
    """Without crowds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePrecision:
    """Mean over classes, in 0..1; None where no object has that size."""

    ap: float | None
    """Over the overlaps 0.5, 0.55 ... 0.95."""
    ap50: float | None
    ap75: float | None
    small: float | None
    """Of objects up to 32 x 32 pixels."""
    medium: float | None
    """Up to 96 x 96."""
    large: float | None
    classes: tuple[ClassPrecision, ...]
    """In the order of the labels."""


def measure_precision(
    coco_set: CocoSet,
    predictions: Sequence[Prediction],
    *,
    image_ids: Sequence[int],
    kind: Literal["bbox", "segm"],
) -> AveragePrecision:
    """Compare predictions with the objects of some images: boxes, or masks.

    The size of a predicted mask is its area, not that of its box.
    """
    truth = _build_truth(coco_set, with_masks=kind == "segm")
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, _build_answers(truth, predictions, kind), kind)
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]  # (T, R, K, A)
    measured = set(image_ids)
    counts = dict.fromkeys(coco_set.category_ids, 0)
    for annotation in truth.dataset["annotations"]:
        if annotation["image_id"] in measured and not annotation["iscrowd"]:
            counts[annotation["category_id"]] += 1
    place = {id: number for number, id in enumerate(evaluation.params.catIds)}
    of_all = precision[..., _ALL]  # (T, R, K)
    return AveragePrecision(
        ap=_mean(of_all),
        ap50=_mean(of_all[_AT_50]),
        ap75=_mean(of_all[_AT_75]),
        small=_mean(precision[..., _SMALL]),
        medium=_mean(precision[..., _MEDIUM]),
        large=_mean(precision[..., _LARGE]),
        classes=tuple(
            ClassPrecision(
                label=name,
                ap=_mean(of_all[..., place[id]]),
                ap50=_mean(of_all[_AT_50, :, place[id]]),
                num_objects=counts[id],
            )
            for name, id in zip(coco_set.class_names, coco_set.category_ids, strict=True)
        ),
    )


def _mean(precision: NDArray[np.float64]) -> float | None:
    """Average what was measured; -1 is a class without an object."""
    measured = precision[precision > -1]
    return float(measured.mean()) if measured.size else None


def _build_truth(coco_set: CocoSet, *, with_masks: bool) -> COCO:
    """Build the set as COCO's code takes it; ids from 1, for it takes 0 for no object."""
    annotations = []
    for index, image in enumerate(coco_set.images):
        objects = coco_set.objects(index)
        columns = (objects.rows, *(column.tolist() for column in objects[:4]))
        for row, (left, top, right, bottom), label, area, is_crowd in zip(*columns, strict=True):
            annotation = {
                "id": row + 1,
                "image_id": image.id,
                "category_id": coco_set.category_ids[label - 1],
                "bbox": [left, top, right - left, bottom - top],
                "area": area,
                "iscrowd": int(is_crowd),
            }
            if with_masks:
                assert coco_set.masks is not None
                runs = coco_set.masks.runs(row, image.height, image.width)
                annotation["segmentation"] = runs
            annotations.append(annotation)
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i.id, "height": i.height, "width": i.width} for i in coco_set.images],
        "categories": [{"id": id} for id in coco_set.category_ids],
        "annotations": annotations,
    }
    return truth


def _build_answers(truth: COCO, predictions: Sequence[Prediction], kind: str) -> COCO:
    if not predictions:
        answers = COCO()
        answers.dataset = {**truth.dataset, "annotations": []}
        answers.createIndex()
        return answers
    field = "bbox" if kind == "bbox" else "segmentation"  # of both, it would take boxes for sizes
    names = ("image_id", "category_id", "score", field)
    return truth.loadRes([{name: found[name] for name in names} for found in predictions])
