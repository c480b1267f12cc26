"""The planes of decoded pictures of PyAV, without a copy, and the matrix that makes RGB of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.frame_planes import FramePlanes

_LAYOUTS = ("yuv420p", "yuvj420p")
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Share of red and of blue in the brightness, by the matrix that the file names (ITU-T H.273):
BT.709, FCC, SMPTE 240M, BT.2020."""
_USUAL_WEIGHTS = (0.299, 0.114)
"""Of ITU-R BT.601, which FFmpeg takes where a file names none."""


def has_planes(index: VideoIndex) -> bool:
    """Whether the pictures are stored upright in 4:2:0 with 8 bits and of even size."""
    width, height = index.stored_size
    return (
        index.pix_fmt in _LAYOUTS and index.display.is_as_stored and not (width % 2 or height % 2)
    )


def planes_of(frames: Sequence[Any], size: tuple[int, int]) -> FramePlanes:
    """Return the planes of `VideoFrame`s of PyAV; one of another `size` or layout is converted."""
    width, height = size
    frames = [
        frame
        if (frame.width, frame.height, frame.format.name) in [(*size, name) for name in _LAYOUTS]
        else convert(frame, "yuv420p", width=width, height=height)
        for frame in frames
    ]
    return FramePlanes(
        luma=[_plane(frame.planes[0]) for frame in frames],
        chroma=[(_plane(frame.planes[1]), _plane(frame.planes[2])) for frame in frames],
        to_rgb=_rgb_matrix(frames[0]),
    )


def _plane(plane: Any) -> NDArray[np.uint8]:
    stored = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return stored[: plane.height, : plane.width]


def _rgb_matrix(frame: Any) -> tuple[float, ...]:
    """Matrix (3, 4), row by row, of (Y, Cb, Cr, 1) in 0..255 to RGB.

    FFmpeg's fast converter cuts the fraction off each product, half a grey level in the mean: with
    the same loss here, clips are equally bright either way.
    """
    red, blue = _WEIGHTS.get(frame.colorspace, _USUAL_WEIGHTS)
    green = 1 - red - blue
    is_full = frame.color_range == ColorRange.JPEG or frame.format.name == "yuvj420p"
    bright, low = (1.0, 0.0) if is_full else (255 / 219, 16.0)
    colour = 1.0 if is_full else 255 / 224
    from_red, from_blue = 2 * (1 - red) * colour, 2 * (1 - blue) * colour
    rows = (
        (bright, 0.0, from_red),
        (bright, -from_blue * blue / green, -from_red * red / green),
        (bright, from_blue, 0.0),
    )
    return tuple(
        value
        for y, cb, cr in rows
        for value in (y, cb, cr, -(y * low + 128 * (cb + cr)) - _lost(y, cb, cr))
    )


def _lost(*factors: float) -> float:
    return sum(factor not in (0.0, 1.0) for factor in factors) / 2
