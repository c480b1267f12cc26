"""RandAugment for clips: a few random operations, drawn once and done to all frames alike.

`settings/rand_augment.py` says what may be set. Runs on uint8 frames on any device, with torch's
global generator.

Legend: T frames, C colours, H W height and width.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample
from torchvision.transforms.v2 import functional as F

from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.rand_augment import RandAugmentSetting, parse_rand_augment

_STRONGEST = 10.0
"""Magnitudes are tenths of the strongest form of an operation."""


class RandAugment:
    """Does the drawn operations to a clip."""

    def __init__(self, setting: RandAugmentSetting, *, fill: tuple[float, float, float]) -> None:
        self.setting = setting
        self.fill = list(fill)  # colour (0..255) of what a turned or shifted frame uncovers

    def __call__(self, frames: Tensor) -> Tensor:
        """Augment: uint8 (T, C, H, W) -> uint8 (T, C, H, W)."""
        for choice in torch.randint(len(OPERATIONS), (self.setting.num_operations,)).tolist():
            if torch.rand(()) > self.setting.probability:
                continue
            noise = self.setting.magnitude_std * float(torch.randn(()))
            magnitude = min(max(self.setting.magnitude + noise, 0.0), _STRONGEST)
            sign = -1.0 if torch.rand(()) < 0.5 else 1.0
            operation = list(OPERATIONS.values())[choice]
            frames = operation(frames, sign * magnitude / _STRONGEST, self.fill)
        return frames


def build_rand_augment(
    augmentation: AugmentationConfig, preprocessing: Preprocessing
) -> RandAugment:
    """Return what the setting says; it fills what it uncovers with the mean colour."""
    mean = preprocessing.mean
    red, green, blue = mean if preprocessing.channel_order == "rgb" else mean[::-1]
    fill = (255 * red, 255 * green, 255 * blue)
    return RandAugment(parse_rand_augment(augmentation.rand_augment), fill=fill)


def _around_one(level: float) -> float:
    """Factor 0.1..1.9 of a change of colour; 1 changes nothing."""
    return max(0.1, 1.0 + 0.9 * level)


def _sharpen(frames: Tensor, factor: float) -> Tensor:
    """Move pixels from their smoothed neighbourhood, as `adjust_sharpness` of torchvision does.

    That one makes its kernel on the host, and waits for the device.
    """
    pixels = frames.float()  # (T, C, H, W)
    inner = pixels[..., 1:-1, 1:-1]
    smooth = ((9 * avg_pool2d(pixels, 3, stride=1) + 4 * inner) / 13).round()
    inner.copy_(smooth + factor * (inner - smooth))
    return pixels.clamp(0, 255).to(frames.dtype)


def _turn(frames: Tensor, degrees: float, fill: list[float]) -> Tensor:
    """Turn frames about their centre."""
    height, width = frames.shape[-2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = width / 2, height / 2
    shift = (x - cos * x + sin * y, y - sin * x - cos * y)
    return _affine(frames, ((cos, -sin, shift[0]), (sin, cos, shift[1])), fill)


def _affine(
    frames: Tensor,
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]],
    fill: list[float],
) -> Tensor:
    """Show at (x, y) what is at `matrix` times (x, y, 1), in pixels from the corner; bicubic."""
    height, width = frames.shape[-2:]
    x, y = (torch.arange(side, device=frames.device) + 0.5 for side in (width, height))
    (a, b, c), (d, e, f) = matrix  # numbers, not a tensor: a GPU is not waited for
    from_x, from_y = a * x + b * y[:, None] + c, d * x + e * y[:, None] + f  # (H, W) each
    grid = torch.stack([2 / width * from_x - 1, 2 / height * from_y - 1], dim=-1)  # (H, W, 2)
    moved = grid_sample(
        frames.flatten(0, 1)[None].float(),  # (1, T * C, H, W)
        grid[None],
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    moved = moved.round_().clamp_(0, 255).to(frames.dtype).reshape(frames.shape)
    uncovered = torch.stack([moved.new_full((1, 1), int(value)) for value in fill])  # (C, 1, 1)
    return torch.where((grid.abs() <= 1).all(dim=-1), moved, uncovered)


def _solarize_add(frames: Tensor, level: float) -> Tensor:
    brighter = frames.clamp(max=255 - int(110 * abs(level))) + int(110 * abs(level))
    return torch.where(frames < 128, brighter, frames)


OPERATIONS: dict[str, Callable[[Tensor, float, list[float]], Tensor]] = {
    "auto_contrast": lambda x, level, fill: F.autocontrast(x),
    "equalize": lambda x, level, fill: F.equalize(x),
    "invert": lambda x, level, fill: F.invert(x),
    "rotate": lambda x, level, fill: _turn(x, 30 * level, fill),
    "posterize": lambda x, level, fill: F.posterize(x, 4 - int(4 * abs(level))),
    "solarize": lambda x, level, fill: F.solarize(x, min(256 - int(256 * abs(level)), 255)),
    "solarize_add": lambda x, level, fill: _solarize_add(x, level),
    "color": lambda x, level, fill: F.adjust_saturation(x, _around_one(level)),
    "contrast": lambda x, level, fill: F.adjust_contrast(x, _around_one(level)),
    "brightness": lambda x, level, fill: F.adjust_brightness(x, _around_one(level)),
    "sharpness": lambda x, level, fill: _sharpen(x, _around_one(level)),
    "shear_x": lambda x, level, fill: _affine(x, ((1, 0.3 * level, 0), (0, 1, 0)), fill),
    "shear_y": lambda x, level, fill: _affine(x, ((1, 0, 0), (0.3 * level, 1, 0)), fill),
    "translate_x": lambda x, level, fill: _affine(
        x, ((1, 0, 0.45 * level * x.shape[-1]), (0, 1, 0)), fill
    ),
    "translate_y": lambda x, level, fill: _affine(
        x, ((1, 0, 0), (0, 1, 0.45 * level * x.shape[-2])), fill
    ),
}
"""Name -> operation of frames, a level in -1..1, and the colour of uncovered places."""
