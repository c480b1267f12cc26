"""Where the patch grid of a model lies on the pictures that are drawn.

Legend: H W pixels of a picture, S of the model's clip, (h, w) patch grid.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.token_colours import paint
from stvit_video.video.decoding.decoder import VideoInfo
from stvit_video.video.pixels.windows import Window

LEAST_SIDE, MOST_SIDE = 360, 640
"""Pixels of the long side of a picture that is drawn."""
_DIMMED = 0.4
"""Brightness of what the model does not see."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lens:
    """The square of a frame that a model sees, and its patches, on pictures of one size."""

    height: int
    """Of a picture, even, as encoders want it."""
    width: int
    """Of a picture, even."""
    crop: tuple[float, float, float, float]
    """Top, left, bottom and right of what the model sees, as shares of the picture."""
    cell: tuple[float, float]
    """Height and width of a patch, as shares of the picture; the last may be cut by the crop."""

    def patch_index(self, grid: tuple[int, int]) -> NDArray[np.int64]:
        """Number the patch of each pixel: (H, W), -1 outside of the crop."""
        top, left, bottom, right = self.crop
        rows = _cells(self.height, top, bottom, self.cell[0])
        columns = _cells(self.width, left, right, self.cell[1])
        index = rows[:, None] * grid[1] + columns
        return np.where((rows[:, None] < 0) | (columns < 0), -1, index)

    def resize(self, frames: Tensor) -> NDArray[np.uint8]:
        """Bring frames uint8 (T, H', W', C) to the size of pictures: (T, H, W, C)."""
        pixels = F.resize(frames.permute(0, 3, 1, 2), [self.height, self.width], antialias=True)
        return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def look_through(model: VideoModel, info: VideoInfo, window: Window, grid: tuple[int, int]) -> Lens:
    """Lay the patches (h, w), that `model` reads of a window, on pictures of a video."""
    long_side = max(info.height, info.width)
    scale = min(max(long_side, LEAST_SIDE), MOST_SIDE) / long_side
    height, width = (max(2 * round(scale * side / 2), 2) for side in (info.height, info.width))
    size = model.preprocessing.image_size
    patch = cast(Any, model.embed.patch)
    embedded = patch.grid(model.preprocessing.num_frames, size, size)[1:]
    cells = [
        side * 2 ** math.ceil(math.log2(before / after))  # Swin merges 2 x 2, and fills up
        for side, before, after in zip(patch.tubelet_size[1:], embedded, grid, strict=True)
    ]
    return Lens(
        height=height,
        width=width,
        crop=(
            window.top / window.height,
            window.left / window.width,
            (window.top + size) / window.height,
            (window.left + size) / window.width,
        ),
        cell=(cells[0] / window.height, cells[1] / window.width),
    )


def draw_tokens(
    frame: NDArray[np.uint8],
    index: NDArray[np.int64],
    owner: NDArray[np.int32],
    strength: NDArray[np.float32],
    colours: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Draw the tokens that own the patches (h, w) on a frame (H, W, C), dimmed outside of the crop.

    `index` says whose patch a pixel is, see `Lens.patch_index`; `colours` (S, 3) are of tokens.
    """
    inside = index >= 0
    painted = paint(
        frame,
        np.where(inside, owner.ravel()[index], -1),
        np.where(inside, strength.ravel()[index], 0.0),
        colours,
    )
    return np.where(inside[..., None], painted, (frame * _DIMMED).astype(np.uint8))


def _cells(length: int, start: float, stop: float, cell: float) -> NDArray[np.int64]:
    """Number the cell of each pixel of an axis, -1 outside of `start` to `stop`."""
    place = (np.arange(length) + 0.5) / length
    number = np.floor((place - start) / cell).astype(np.int64)
    return np.where((place < start) | (place >= stop), -1, number)
