"""Images to find real garments in: Fashion-MNIST pictures of many sizes on clutter, with masks.

An image of 224 x 224 pixels holds up to eight garments of 16 to 200 pixels a side, smaller ones
ahead of larger ones, over tiles cut of other garments. Boxes and masks are those of what can be
seen; a garment that would hide more than half of another is not painted. An image is a pure
function of a row of random numbers, so that batches are drawn on the GPU.

Legend: B images, G garments an image, S pixels a side, U random numbers an image.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from moving_garments import GARMENTS, Draws, Pictures
from torch import Tensor
from torchvision.ops import masks_to_boxes

SIZE, MOST_GARMENTS = 224, 8
SMALLEST, LARGEST = 16, 200
"""Pixels a side of a garment's picture, of whose pixels a half are its own."""
NUM_CLASSES = len(GARMENTS) + 1
"""With the background."""

_PICTURE, _TILE, _TILES_A_SIDE = 28, 16, 14
NUM_DRAWS = 1 + 7 * MOST_GARMENTS + 3 * _TILES_A_SIDE**2 + 3
"""U."""


class Scenes(NamedTuple):
    """Images and what can be seen in them."""

    images: Tensor
    """(B, 3, S, S) in 0..1."""
    masks: Tensor
    """bool (B, G, S, S), none where a place has no garment."""
    garment: Tensor
    """int64 (B, G)."""


def draw_scenes(pictures: Pictures, numbers: Tensor) -> Scenes:
    """Make images of random numbers (B, U) in 0..1."""
    draws = Draws(numbers)
    count = 1 + draws.below(MOST_GARMENTS)  # (B,)
    picture = draws.below(len(pictures.garment), MOST_GARMENTS)  # (B, G)
    spread = draws.between(0, 1, MOST_GARMENTS)
    side = SMALLEST * (LARGEST / SMALLEST) ** spread
    absent = torch.arange(MOST_GARMENTS, device=side.device) >= count[:, None]
    side = side.masked_fill(absent, 0).sort(dim=1, descending=True).values  # large ones first
    places = draws.between(0, 1, MOST_GARMENTS, 2)
    colours = draws.between(0.4, 1.0, MOST_GARMENTS, 3)
    middle = side[..., None] / 2 + places * (SIZE - side[..., None])  # (B, G, 2)
    images = _clutter(pictures, draws)
    masks = images.new_zeros(len(images), MOST_GARMENTS, SIZE, SIZE, dtype=torch.bool)
    whole = images.new_zeros(len(images), MOST_GARMENTS)
    for place in range(MOST_GARMENTS):
        light, cover = _paint(pictures.pixels[picture[:, place]], middle[:, place], side[:, place])
        mask = cover[:, 0] > 0.5  # (B, S, S)
        left = (masks & ~mask[:, None]).sum(dim=(2, 3))
        is_seen = (side[:, place] > 0) & (left >= 0.5 * whole).all(dim=1)
        mask, cover = mask & is_seen[:, None, None], cover * is_seen[:, None, None, None]
        masks = masks & ~mask[:, None]
        masks[:, place] = mask
        whole[:, place] = mask.sum(dim=(1, 2))
        images = images * (1 - cover) + colours[:, place, :, None, None] * light * cover
    return Scenes(images, masks, pictures.garment[picture])


def as_targets(scenes: Scenes) -> list[dict[str, Tensor]]:
    """Say what can be seen as torchvision's detectors take it: boxes, labels from 1, masks."""
    targets = []
    for masks, garment in zip(scenes.masks, scenes.garment, strict=True):
        is_there = masks.sum(dim=(1, 2)) >= 32
        masks = masks[is_there]
        boxes = masks_to_boxes(masks) if len(masks) else masks.new_zeros(0, 4, dtype=torch.float)
        boxes[:, 2:] += 1
        labels = garment[is_there] + 1
        targets.append({"boxes": boxes, "labels": labels, "masks": masks.to(torch.uint8)})
    return targets


def _paint(pixels: Tensor, middle: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Return the light of a garment (B, 28, 28) in an image, and how far it covers it."""
    pixel = torch.arange(SIZE, device=side.device) + 0.5
    place = (pixel - middle[..., None]) * 2 / side.clamp(min=1)[:, None, None]  # (B, 2, S)
    rows, columns = place[:, 0, :, None], place[:, 1, None, :]
    grid = torch.stack(torch.broadcast_tensors(columns, rows), dim=-1)
    layers = torch.stack([pixels, (4 * pixels).clamp(max=1)], dim=1)
    read = F.grid_sample(layers, grid, align_corners=False)  # (B, 2, S, S)
    return read[:, :1], read[:, 1:]


def _clutter(pictures: Pictures, draws: Draws) -> Tensor:
    """Tiles cut of pictures, of one colour: (B, 3, S, S)."""
    num_tiles = _TILES_A_SIDE**2
    picture = draws.below(len(pictures.garment), num_tiles)  # (B, K)
    corner = draws.below(_PICTURE - _TILE + 1, 2, num_tiles)
    colour = draws.between(0.15, 0.5, 3)
    inside = torch.arange(_TILE, device=picture.device)
    rows, columns = corner[:, 0, :, None] + inside, corner[:, 1, :, None] + inside
    tiles = pictures.pixels[picture[..., None, None], rows[..., None], columns[:, :, None]]
    side = _TILES_A_SIDE
    whole = tiles.unflatten(1, (side, side)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return whole[:, None] * colour[:, :, None, None]
