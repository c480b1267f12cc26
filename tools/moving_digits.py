"""A task that small models learn in a minute: real digits that move over clutter.

Clips of 8 x 24 x 24 pixels show one of ten handwritten digits (of the package scikit-learn) that
moves in one of four directions and wraps round; label = digit x motion, 40 classes. Tests show
digits of other writers.

Legend: B clips, R pictures, T frames, H W pixels.
"""

from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor

NUM_CLASSES, NUM_FRAMES, SIZE = 40, 8, 24
_MOTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
_NUM_TRAIN = 1200


class Pictures(NamedTuple):
    """Digits of 8 x 8 pixels, and what they are."""

    pixels: Tensor  # (R, 8, 8) in 0..1
    digit: Tensor  # int64 (R,)


def load_pictures(device: torch.device) -> dict[str, Pictures]:
    """Digits by part: the first 1200 train, the others, of other writers, test."""
    digits = load_digits()
    pixels = torch.tensor(digits.images / 16, dtype=torch.float32, device=device)
    digit = torch.tensor(digits.target, dtype=torch.int64, device=device)
    parts = {"train": slice(None, _NUM_TRAIN), "test": slice(_NUM_TRAIN, None)}
    return {part: Pictures(pixels[rows], digit[rows]) for part, rows in parts.items()}


def draw_clips(
    pictures: Pictures, num_clips: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw clips (B, 3, T, H, W) of mean 0, and labels (B,)."""
    device = pictures.pixels.device

    def draw(stop: int, *shape: int) -> Tensor:
        return torch.randint(stop, shape, generator=generator, device=device)

    def noise(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    chosen, motion = draw(len(pictures.digit), num_clips), draw(4, num_clips)
    canvas = torch.zeros(num_clips, SIZE, SIZE, device=device)
    canvas[:, :8, :8] = pictures.pixels[chosen]
    step = torch.tensor(_MOTIONS, device=device)[motion]  # (B, 2)
    time = torch.arange(NUM_FRAMES, device=device)[None, :, None]
    shift = draw(SIZE, num_clips, 2)[:, None] + time * step[:, None]  # (B, T, 2)
    places = (torch.arange(SIZE, device=device) - shift[..., None]) % SIZE  # (B, T, 2, SIZE)
    clip = torch.arange(num_clips, device=device)[:, None, None, None]
    moved = canvas[clip, places[:, :, 0, :, None], places[:, :, 1, None, :]]  # (B, T, H, W)
    still = 0.3 * noise(num_clips, 1, SIZE, SIZE)
    flicker = 0.1 * noise(num_clips, NUM_FRAMES, SIZE, SIZE)
    frames = (torch.maximum(still + flicker, moved) - 0.3) / 0.3
    return frames[:, None].expand(-1, 3, -1, -1, -1), pictures.digit[chosen] * 4 + motion
