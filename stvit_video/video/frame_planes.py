"""Decoded frames as the codec stores them: what a decoder hands over where nobody needs RGB yet.

Legend: H W height and width of a frame.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class FramePlanes(NamedTuple):
    """Frames in 4:2:0 as they are stored, in the memory of the decoder."""

    luma: Sequence[NDArray[np.uint8]]
    """Of each frame: (H, W)."""
    chroma: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    """Of each frame, blue and red difference: (H / 2, W / 2)."""
    to_rgb: tuple[float, ...]
    """Matrix (3, 4), row by row: RGB = matrix @ (Y, Cb, Cr, 1)."""
