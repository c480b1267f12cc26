"""Images and their objects, served as torchvision's detectors take them.

Legend: n objects, H W pixels.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from stvit_video.datasets.coco.annotations import CocoSet, clip_boxes
from stvit_video.datasets.coco.decode import decode_image
from stvit_video.datasets.sampler import FileKey, ItemKey
from stvit_video.errors import ImageDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.seeded import seeded

Target = dict[str, Tensor]


class ImageSample(NamedTuple):
    """One image, and what is in it."""

    image: Tensor
    """uint8 (3, H, W)."""
    target: Target
    """`boxes` float32 (n, 4), `labels` int64 (n,), `area` float32 (n,), `iscrowd` int64 (n,),
    `image_id` int64 () and, where they are read, `masks` uint8 (n, H, W)."""
    image_index: int
    """Position in the set."""


class FailedImage(NamedTuple):
    """An image that could not be read, in its place."""

    image_index: int
    error: ImageDecodeError


ImageItem = ImageSample | FailedImage


class CocoImages(Dataset[ImageItem]):
    """Serves one image per item, in the order of the file; one that cannot be read is a
    `FailedImage`, never another in its place.

    Boxes are those of the file, clipped to the image. The flip depends on the seed of the key.
    """

    def __init__(
        self,
        coco_set: CocoSet,
        *,
        flip: float = 0.0,
        keeps_crowds: bool = True,
        draws_masks: bool = True,
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        """Serve the images of a set.

        `flip` is the probability of a horizontal flip. Training takes no crowds, which are several
        objects in one. Without `draws_masks` there are none, also where the set has them.
        """
        self.coco_set = coco_set
        self.flip = v2.RandomHorizontalFlip(flip) if flip else None
        self.keeps_crowds = keeps_crowds
        self.draws_masks = draws_masks and coco_set.masks is not None
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.coco_set)

    def __getitem__(self, key: int | ItemKey) -> ImageItem:
        index, seed = key if isinstance(key, tuple) else (key, key)
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} outside 0..{len(self) - 1}")
        known = self.coco_set.images[index]
        try:
            image = decode_image(
                known.path, max_pixels=self.max_pixels, size=(known.height, known.width)
            )
        except ImageDecodeError as error:
            return FailedImage(index, error)
        target = self._target(index)
        if self.flip is not None:
            with seeded(seed):
                image, target = _flip(self.flip, image, target)
        return ImageSample(image, target, index)

    def _target(self, index: int) -> Target:
        objects = self.coco_set.objects(index)
        size = self.coco_set.images.sizes[index]
        kept = torch.ones_like(objects.is_crowd) if self.keeps_crowds else ~objects.is_crowd
        target = {
            "boxes": clip_boxes(objects.boxes[kept], size),
            "labels": objects.labels[kept],
            "area": objects.areas[kept].float(),
            "iscrowd": objects.is_crowd[kept].long(),
            "image_id": self.coco_set.images.ids[index].clone(),
        }
        if self.draws_masks:
            assert self.coco_set.masks is not None
            rows = [objects.rows[place] for place in kept.nonzero().flatten().tolist()]
            target["masks"] = self.coco_set.masks.draw(rows, *size.tolist())
        return target


class NamedImages(Dataset[ImageItem]):
    """Serves the image file that a key names, without objects: no list has to be known."""

    def __init__(self, *, max_pixels: int = MOST_PIXELS) -> None:
        self.max_pixels = max_pixels

    def __getitem__(self, key: FileKey) -> ImageItem:
        try:
            image = decode_image(Path(key.path), max_pixels=self.max_pixels)
        except ImageDecodeError as error:
            return FailedImage(key.item, error)
        return ImageSample(image, {}, key.item)


def _flip(flip: v2.RandomHorizontalFlip, image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Flip an image, its boxes and its masks together, or not."""
    height, width = image.shape[1:]
    wrapped: dict[str, Any] = {
        **target,
        "boxes": tv_tensors.BoundingBoxes(
            target["boxes"], format="XYXY", canvas_size=(height, width)
        ),
    }
    if "masks" in target:
        wrapped["masks"] = tv_tensors.Mask(target["masks"])
    flipped, wrapped = flip(tv_tensors.Image(image), wrapped)
    plain = {name: value.as_subclass(Tensor) for name, value in wrapped.items()}
    return flipped.as_subclass(Tensor), plain
