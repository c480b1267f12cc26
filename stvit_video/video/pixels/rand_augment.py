"""RandAugment for clips: a few random operations, drawn once and done to all frames alike.

`settings/rand_augment.py` says what may be set. Runs on uint8 frames on any device, with torch's
global generator.

Legend: T frames, C colours, H W height and width.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from stvit_video.settings.rand_augment import RandAugmentSetting

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


def _around_one(level: float) -> float:
    """Factor 0.1..1.9 of a change of colour; 1 changes nothing."""
    return max(0.1, 1.0 + 0.9 * level)


def _affine(
    frames: Tensor,
    fill: list[float],
    *,
    turn: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    shear: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Turn by degrees about the centre, or shift by shares of the size, or shear about a corner."""
    height, width = frames.shape[-2:]
    return F.affine(
        frames,
        angle=turn,
        translate=[round(shift[0] * width), round(shift[1] * height)],
        scale=1.0,
        shear=[math.degrees(math.atan(slope)) for slope in shear],
        interpolation=InterpolationMode.BILINEAR,
        fill=fill,
        center=[0.0, 0.0] if any(shear) else None,
    )


def _solarize_add(frames: Tensor, level: float) -> Tensor:
    brighter = frames.clamp(max=255 - int(110 * abs(level))) + int(110 * abs(level))
    return torch.where(frames < 128, brighter, frames)


OPERATIONS: dict[str, Callable[[Tensor, float, list[float]], Tensor]] = {
    "auto_contrast": lambda x, level, fill: F.autocontrast(x),
    "equalize": lambda x, level, fill: F.equalize(x),
    "invert": lambda x, level, fill: F.invert(x),
    "rotate": lambda x, level, fill: _affine(x, fill, turn=30 * level),
    "posterize": lambda x, level, fill: F.posterize(x, 4 - int(4 * abs(level))),
    "solarize": lambda x, level, fill: F.solarize(x, min(256 - int(256 * abs(level)), 255)),
    "solarize_add": lambda x, level, fill: _solarize_add(x, level),
    "color": lambda x, level, fill: F.adjust_saturation(x, _around_one(level)),
    "contrast": lambda x, level, fill: F.adjust_contrast(x, _around_one(level)),
    "brightness": lambda x, level, fill: F.adjust_brightness(x, _around_one(level)),
    "sharpness": lambda x, level, fill: F.adjust_sharpness(x, _around_one(level)),
    "shear_x": lambda x, level, fill: _affine(x, fill, shear=(0.3 * level, 0.0)),
    "shear_y": lambda x, level, fill: _affine(x, fill, shear=(0.0, 0.3 * level)),
    "translate_x": lambda x, level, fill: _affine(x, fill, shift=(0.45 * level, 0.0)),
    "translate_y": lambda x, level, fill: _affine(x, fill, shift=(0.0, 0.45 * level)),
}
"""Name -> operation of frames, a level in -1..1, and the colour of uncovered places."""
