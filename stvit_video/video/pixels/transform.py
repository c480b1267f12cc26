"""From the frames of a clip to the clip, in the process that decodes.

Legend: T frames, H W height and width of a frame, S of a clip, C colours.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torchvision.transforms.v2 import functional as F

from stvit_video.video.pixels.windows import ChooseWindow, Window

ClipTransform = Callable[[Tensor, int], Tensor]
"""Frames uint8 (T, H, W, C) and a crop index -> clip (C, T, S, S)."""


@dataclass(frozen=True, kw_only=True)
class WindowTransform:
    """Chooses a window of the frames of a clip and makes S x S pixels of it."""

    choose: ChooseWindow
    size: int
    """Height and width S of the clip."""
    augment: Callable[[Tensor], Tensor] | None = None
    """What is done to whole frames before: uint8 (T, C, H, W) -> the same."""

    def __call__(self, frames: Tensor, crop_index: int) -> Tensor:
        """Make a clip: uint8 (T, H, W, C) -> uint8 (C, T, S, S)."""
        _, height, width, _ = frames.shape
        window = self.choose(height, width, crop_index)
        pixels = frames.permute(0, 3, 1, 2)  # (T, C, H, W)
        if self.augment is not None:
            pixels = self.augment(pixels)
        pixels = self.cut(pixels, window)  # (T, C, S, S)
        return pixels.transpose(0, 1).contiguous()

    def cut(self, frames: Tensor, window: Window) -> Tensor:
        """Resize a window: uint8 (T, C, H, W) -> uint8 (T, C, S, S)."""
        top, left, height, width = window.box
        frames = frames[..., top : top + height, left : left + width]
        frames = F.resize(frames, [window.height, window.width], antialias=True)
        rows = slice(window.top, window.top + self.size)
        return frames[..., rows, window.left : window.left + self.size]
