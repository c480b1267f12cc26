"""Random objects in images, and detectors that say what they are told."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as pycoco
from torch import nn

from stvit_video.datasets.coco.annotations import read_coco

CATEGORIES = {2: "cat", 3: "dog", 7: "emu", 90: "never there"}


class Told(nn.Module):
    """A detector whose answers are known: those of an image by its first pixel's red."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        assert not self.training
        assert all(image.dtype == torch.float32 and image.max() <= 1 for image in images)
        return [self.answers[round(float(image[0, 0, 0]) * 255)] for image in images]


def _random_box(draw, width, height):
    wide, high = draw.uniform(4, width * 0.7), draw.uniform(4, height * 0.7)
    left, top = draw.uniform(0, width - wide), draw.uniform(0, height - high)
    return [round(float(value), 2) for value in (left, top, wide, high)]


def _ellipse(box, width, height):
    left, top, wide, high = box
    y, x = np.mgrid[:height, :width] + 0.5
    inside = ((x - left - wide / 2) / wide) ** 2 + ((y - top - high / 2) / high) ** 2 <= 0.25
    return inside.astype(np.uint8)


def _write(folder, num_images):
    """Write images and random objects; return what a detector says that sees most of them."""
    draw = np.random.default_rng(4)
    images, objects, answers = [], [], {}
    for number in range(num_images):
        width, height = int(draw.integers(90, 240)), int(draw.integers(80, 200))
        Image.new("RGB", (width, height), (number, 90, 160)).save(folder / f"{number}.png")
        image_id = 1000 - number
        images.append(
            {"id": image_id, "file_name": f"{number}.png", "height": height, "width": width}
        )
        boxes, labels, scores, masks = [], [], [], []
        for place in range(0 if number == 3 else int(draw.integers(1, 7))):
            box = _random_box(draw, width, height)
            category = int(draw.choice([2, 3, 7]))
            mask = _ellipse(box, width, height)
            runs = pycoco.encode(np.asfortranarray(mask))
            left, top, wide, high = box
            polygon = [left, top, left + wide, top, left + wide / 2, top + high]
            is_crowd = place == 2
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": box,
                    "area": float(mask.sum()),
                    "iscrowd": int(is_crowd),
                    "segmentation": {"size": [height, width], "counts": runs["counts"].decode()}
                    if is_crowd or place % 2
                    else [polygon],
                }
            )
            for _ in range(int(draw.integers(0, 3))):
                moved = np.array(box) + draw.normal(0, 3, 4)
                left, top, wide, high = moved.tolist()
                moved = [left, top, max(wide, 2.0), max(high, 2.0)]
                boxes.append([left, top, left + moved[2], top + moved[3]])
                labels.append(1 + [2, 3, 7].index(category if draw.random() < 0.8 else 2))
                scores.append(round(float(draw.random()), 2))
                masks.append(_ellipse(moved, width, height))
        answers[number] = {
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "scores": torch.tensor(scores),
            "masks": torch.tensor(np.array(masks), dtype=torch.float32).reshape(
                -1, 1, height, width
            )
            * 0.9,
        }
    content = {
        "images": images,
        "annotations": objects,
        "categories": [{"id": id, "name": name} for id, name in CATEGORIES.items()],
    }
    (folder / "objects.json").write_text(json.dumps(content))
    return answers


@pytest.fixture(scope="session")
def random_objects(tmp_path_factory):
    """30 images: the folder, and the detector."""
    folder = tmp_path_factory.mktemp("objects")
    answers = _write(folder, 30)
    return folder, Told(answers)


@pytest.fixture(scope="session")
def random_set(random_objects):
    return read_coco(random_objects[0] / "objects.json", masks=True)
