"""Which part of a frame a clip shows. Geometry only, no pixels; random choices come from torch's
global generator.

Legend: H W height and width of a frame, S of a clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torchvision.transforms import v2

from stvit_video.settings.data import AugmentationConfig


class Window(NamedTuple):
    """A box of the frame is resized, and a square of S x S pixels of that is kept."""

    box: tuple[int, int, int, int]
    """Top, left, height and width in the frame."""
    height: int
    """Of the box once it is resized."""
    width: int
    """Of the box once it is resized."""
    top: int
    """First row of the resized box that is kept."""
    left: int
    """First column of the resized box that is kept."""


ChooseWindow = Callable[[int, int, int], Window]
"""Height and width of a frame, and a crop index -> window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationWindow:
    """Short side to `short_side`, then one of `num_crops` squares of `size` along the long side."""

    size: int
    short_side: int
    num_crops: int

    def __call__(self, height: int, width: int, crop_index: int) -> Window:
        """Return the window of crop `crop_index`."""
        resized = resized_size(height, width, self.short_side)
        along = crop_index if self.num_crops == 3 else 1  # half steps along the long side
        steps = (1, along) if height <= width else (along, 1)
        margins = (side - self.size for side in resized)
        top, left = (margin * step // 2 for margin, step in zip(margins, steps, strict=True))
        return Window((0, 0, height, width), *resized, top, left)


def training_window(augmentation: AugmentationConfig, *, size: int) -> ChooseWindow:
    """Return the rule by which training crops; the crop index plays no part."""
    if augmentation.crop == "random_resized":
        return _RandomResized(
            v2.RandomResizedCrop(size, scale=augmentation.crop_area, ratio=augmentation.crop_ratio),
            size,
        )
    if augmentation.crop == "scale_jitter":
        least, most = (round(size * factor) for factor in augmentation.scale_jitter)
        return _ScaleJitter(
            v2.RandomShortestSize(list(range(least, most + 1))), v2.RandomCrop(size)
        )
    return _Center(size)


@dataclass(frozen=True, slots=True)
class _RandomResized:
    crop: v2.RandomResizedCrop
    size: int

    def __call__(self, height: int, width: int, crop_index: int) -> Window:
        drawn = self.crop.make_params(_like(height, width))
        box = (drawn["top"], drawn["left"], drawn["height"], drawn["width"])
        return Window(box, self.size, self.size, 0, 0)


@dataclass(frozen=True, slots=True)
class _ScaleJitter:
    resize: v2.RandomShortestSize
    crop: v2.RandomCrop

    def __call__(self, height: int, width: int, crop_index: int) -> Window:
        tall, wide = self.resize.make_params(_like(height, width))["size"]
        place = self.crop.make_params(_like(tall, wide))
        return Window((0, 0, height, width), tall, wide, place["top"], place["left"])


@dataclass(frozen=True, slots=True)
class _Center:
    size: int

    def __call__(self, height: int, width: int, crop_index: int) -> Window:
        tall, wide = resized_size(height, width, self.size)
        top, left = (round((side - self.size) / 2) for side in (tall, wide))
        return Window((0, 0, height, width), tall, wide, top, left)


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width with the short side at `short_side`, as torchvision rounds the long one."""
    if height <= width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


def _like(height: int, width: int) -> list[Any]:
    """Something of a size, which is all that torchvision looks at to draw a crop."""
    return [torch.empty(1, 1, dtype=torch.uint8).expand(height, width)]
