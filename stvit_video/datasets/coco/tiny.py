"""A tiny data set laid out as COCO is, for trying a recipe where COCO is not there."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as pycoco
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from stvit_video.files import write_file

WIDTH, HEIGHT = 160, 120
_COLOURS = ("#c03028", "#2858c0", "#e0b020", "#208040", "#8040a0")
_LEAST_RADIUS, _MOST_RADIUS = 12, 28


def coco_categories() -> dict[int, str]:
    """Return the 80 names by their official ids, which have holes up to 90."""
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return {id: name for id, name in enumerate(names) if id and name != "N/A"}


def write_tiny_coco(root: Path, *, num_images: dict[str, int]) -> dict[str, Path]:
    """Write so many images of each part (`train`, `val`) below `root`; return the annotations.

    The images of `train` lie in `train2017`, its annotations are
    `annotations/instances_train2017.json`. Each image holds two or three polygons on a ground of
    one colour; the second holds a crowd, written as runs, and the last of three or more nothing.
    """
    return {part: _write_part(root, f"{part}2017", count) for part, count in num_images.items()}


def _write_part(root: Path, name: str, count: int) -> Path:
    (root / name).mkdir(parents=True)
    ids = list(coco_categories())
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        draw = np.random.default_rng(number)
        file_name = f"{number:012d}.jpg"
        is_empty = number == count and count > 2
        picture = Image.new("RGB", (WIDTH, HEIGHT), f"hsl({37 * number % 360}, 20%, 75%)")
        for place in range(0 if is_empty else 2 + number % 2):
            polygon = _draw_polygon(picture, draw, colour=_COLOURS[place])
            category = ids[(7 * number + 31 * place) % len(ids)]
            is_crowd = number == 2 and place == 0
            object = _annotate(polygon, category, is_crowd=is_crowd)
            annotations.append({**object, "id": len(annotations) + 1, "image_id": number})
        picture.save(root / name / file_name, quality=90)
        images.append({"id": number, "file_name": file_name, "height": HEIGHT, "width": WIDTH})
    path = root / "annotations" / f"instances_{name}.json"
    categories = [{"id": id, "name": name} for id, name in coco_categories().items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_file(path, json.dumps(content))
    return path


def _draw_polygon(
    picture: Image.Image, draw: np.random.Generator, *, colour: str
) -> list[tuple[float, float]]:
    """Draw a polygon of 3 to 6 corners somewhere; return them."""
    radius = float(draw.uniform(_LEAST_RADIUS, _MOST_RADIUS))
    x, y = draw.uniform(radius, WIDTH - radius), draw.uniform(radius, HEIGHT - radius)
    corners = int(draw.integers(3, 7))
    turns = [2 * math.pi * corner / corners for corner in range(corners)]
    polygon = [
        (round(x + radius * math.cos(turn), 2), round(y + radius * math.sin(turn), 2))
        for turn in turns
    ]
    ImageDraw.Draw(picture).polygon(polygon, fill=colour)
    return polygon


def _annotate(
    polygon: list[tuple[float, float]], category: int, *, is_crowd: bool
) -> dict[str, Any]:
    flat = [value for point in polygon for value in point]
    (runs,) = pycoco.frPyObjects([flat], HEIGHT, WIDTH)
    xs, ys = zip(*polygon, strict=True)
    counts = {"size": [HEIGHT, WIDTH], "counts": _count_runs(pycoco.decode(runs))}
    return {
        "category_id": category,
        "segmentation": counts if is_crowd else [flat],
        "bbox": [min(xs), min(ys), round(max(xs) - min(xs), 2), round(max(ys) - min(ys), 2)],
        "area": float(pycoco.area(runs)),
        "iscrowd": int(is_crowd),
    }


def _count_runs(mask: np.ndarray[Any, Any]) -> list[int]:
    """Return the lengths of the runs of 0 and 1 of a mask (H, W), column by column."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels)) + 1
    bounds = [0] * bool(pixels[0]) + [0, *changes.tolist(), len(pixels)]
    return [end - start for start, end in pairwise(bounds)]
