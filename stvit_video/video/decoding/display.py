"""How the pictures of a decoder are shown: which parts are cut away, whether they are mirrored, and
how far they are turned.

Legend: H W pixels, C colours.
"""

import math
import struct
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from av.sidedata.sidedata import Type
from numpy.typing import NDArray
from torch import Tensor

Pictures = TypeVar("Pictures", Tensor, NDArray[np.uint8])


class Crop(NamedTuple):
    """Pixels that a player cuts away from each side of a stored picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Display(NamedTuple):
    """What becomes of a stored picture: it is cropped, then mirrored, then turned."""

    width: int
    """Of the stored picture, in pixels."""
    height: int
    """Of the stored picture, in pixels."""
    crop: Crop = Crop()
    is_mirrored: bool = False
    """Left and right change places."""
    quarter_turns: int = 0
    """Counterclockwise, 0 to 3."""

    @property
    def is_as_stored(self) -> bool:
        """Nothing is done to the pictures."""
        return self == Display(self.width, self.height)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels."""
        width = self.width - self.crop.left - self.crop.right
        height = self.height - self.crop.top - self.crop.bottom
        return (height, width) if self.quarter_turns % 2 else (width, height)

    @property
    def naive_turns(self) -> int:
        """Quarter turns of a decoder that knows of no mirrors, as FFmpeg reads such a matrix."""
        return (self.quarter_turns + (2 if self.is_mirrored else 0)) % 4

    def show(self, pictures: Pictures) -> Pictures:
        """Set stored pictures upright: (..., H, W, C) -> (..., H, W, C), without a copy."""
        left, top, right, bottom = self.crop
        shown = pictures[..., top : self.height - bottom, left : self.width - right, :]
        if self.is_mirrored:
            shown = _flip(shown, -2)
        return turn(shown, self.quarter_turns)

    def set_upright(self, pictures: Tensor, *, num_turned: int) -> Tensor:
        """Show pictures (T, H, W, C) that a decoder has turned by some quarters already.

        Raises:
            ValueError: they are not of the stored size.
        """
        stored = turn(pictures, -num_turned)
        height, width = stored.shape[1:3]
        if (width, height) != (self.width, self.height):
            raise ValueError(f"it gives pictures of {width}x{height}")
        return self.show(stored)


def display_of(frame: Any, crop: Crop) -> Display:
    """Read from a decoded `VideoFrame` of PyAV how the pictures of its video are shown.

    A turn that is no multiple of 90 degrees is none, and so is a crop that leaves nothing.
    """
    is_mirrored, turns = _orientation(frame)
    if crop.left + crop.right >= frame.width or crop.top + crop.bottom >= frame.height:
        crop = Crop()
    return Display(frame.width, frame.height, crop, is_mirrored, turns)


def turn(pictures: Pictures, quarter_turns: int) -> Pictures:
    """Turn pictures (..., H, W, C) counterclockwise."""
    if quarter_turns % 4 == 0:
        return pictures
    if isinstance(pictures, Tensor):
        return torch.rot90(pictures, quarter_turns, (-3, -2))
    return np.rot90(pictures, quarter_turns, (-3, -2))


def _flip(pictures: Pictures, axis: int) -> Pictures:
    return pictures.flip(axis) if isinstance(pictures, Tensor) else np.flip(pictures, axis)


def _orientation(frame: Any) -> tuple[bool, int]:
    """Whether pictures are mirrored, and their quarter turns after that."""
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return False, 0
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])  # x' = a x + c y, y' = b x + d y
    is_mirrored = a * d - b * c < 0
    quarters = math.degrees(math.atan2(b, -a if is_mirrored else a)) / 90
    if abs(quarters - round(quarters)) > 1 / 90:
        return False, 0
    return is_mirrored, round(quarters if is_mirrored else -quarters) % 4
