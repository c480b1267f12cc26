"""Clips as the codec stores them, and how a device makes RGB clips of a batch of them.

A worker that ships the planes of the wanted window spares the conversion and the resizing, and
half the bytes. The device does both for the whole batch with two matrix products.

Legend: B clips, T frames, h w height and width of what is shipped, S of a clip, C colours.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stvit_video.video.frame_planes import FramePlanes
from stvit_video.video.pixels.transform import WindowTransform

_MOST_SHIPPED = 4
"""Pixels of a frame for each of the clip up to which planes are shipped: 456x256 for 224x224."""


class ClipPlanes(NamedTuple):
    """The part of a clip's frames that its window shows, in 4:2:0."""

    luma: Tensor
    """uint8 (T, h, w)."""
    chroma: Tensor
    """uint8 (T, 2, h / 2, w / 2): blue and red difference."""
    numbers: Tensor
    """float32 (20,): for rows and columns each the start and length of the box, its length once
    resized, and the first pixel that is kept; then the matrix (3, 4) of (Y, Cb, Cr, 1) -> RGB."""
    size: int
    """Height and width S of the clip."""


class PlaneBatch(NamedTuple):
    """B clips of any sizes; what lies outside of a clip is zero and never read."""

    luma: Tensor
    """uint8 (B, T, h, w)."""
    chroma: Tensor
    """uint8 (B, T, 2, h / 2, w / 2)."""
    numbers: Tensor
    """float32 (B, 20), see `ClipPlanes`."""
    size: int
    """Height and width S of the clips."""


class PlaneTransform(WindowTransform):
    """Chooses windows as `WindowTransform`, and leaves conversion and resizing to a device.

    For frames that come in planes; a call on RGB frames makes the clip here.
    """

    def takes(self, height: int, width: int) -> bool:
        """Whether planes of frames of this size are little enough to be shipped."""
        return height * width <= _MOST_SHIPPED * self.size**2

    def cut_planes(self, planes: FramePlanes, picks: slice, crop_index: int) -> ClipPlanes:
        """Copy what the window of some of the frames needs."""
        height, width = planes.luma[0].shape
        window = self.choose(height, width, crop_index)
        top, left, height, width = window.box
        rows = _needed(top, height, window.height, window.top, self.size)
        columns = _needed(left, width, window.width, window.left, self.size)
        half_rows, half_columns = (slice(s.start // 2, (s.stop + 1) // 2) for s in (rows, columns))
        luma = np.stack([plane[rows, columns] for plane in planes.luma[picks]])  # (T, h, w)
        chroma = np.stack(
            [p[half_rows, half_columns] for pair in planes.chroma[picks] for p in pair]
        )
        numbers = [
            *(top - rows.start, height, window.height, window.top),
            *(left - columns.start, width, window.width, window.left),
            *planes.to_rgb,
        ]
        return ClipPlanes(
            torch.from_numpy(luma),
            torch.from_numpy(chroma).unflatten(0, (-1, 2)),
            torch.tensor(numbers, dtype=torch.float32),
            self.size,
        )


def stack_planes(clips: Sequence[ClipPlanes], *, share: bool) -> PlaneBatch:
    """Put clips of any sizes into one batch; with `share`, in memory that processes share."""
    height, width = (max(clip.luma.shape[i] for clip in clips) for i in (1, 2))
    num_frames = len(clips[0].luma)
    luma = _zeros(len(clips), num_frames, height, width, share=share)
    chroma = _zeros(len(clips), num_frames, 2, (height + 1) // 2, (width + 1) // 2, share=share)
    for row, clip in enumerate(clips):
        luma[row, :, : clip.luma.shape[1], : clip.luma.shape[2]] = clip.luma
        chroma[row, :, :, : clip.chroma.shape[2], : clip.chroma.shape[3]] = clip.chroma
    numbers = torch.stack([clip.numbers for clip in clips])
    return PlaneBatch(luma, chroma, numbers, clips[0].size)


def make_clips(planes: PlaneBatch) -> Tensor:
    """Convert, resize and crop: planes -> uint8 RGB (B, C, T, S, S), on the planes' device.

    The same as converting with FFmpeg and resizing with torchvision (antialiased) to within a few
    grey levels: here nothing is rounded between the steps.
    """
    number = torch.float16 if planes.luma.is_cuda else torch.float32
    rows, columns = (planes.numbers[:, i : i + 4] for i in (0, 4))  # (B, 4) each
    to_rgb = planes.numbers[:, 8:].unflatten(1, (3, 4))  # (B, 3, 4)
    height, width = planes.luma.shape[-2:]
    down = resize_weights(rows, height + height % 2, size=planes.size)  # (B, S, h)
    across = resize_weights(columns, width + width % 2, size=planes.size)  # (B, S, w)
    luma = _resize(planes.luma, down[..., :height].to(number), across[..., :width].to(number))
    chroma = _resize(  # each of its pixels counts for two rows and two columns
        planes.chroma.flatten(1, 2),
        down.unflatten(-1, (-1, 2)).sum(-1).to(number),
        across.unflatten(-1, (-1, 2)).sum(-1).to(number),
    ).unflatten(1, (-1, 2))  # (B, T, 2, S, S)
    stored = torch.cat([luma[:, :, None], chroma], dim=2).transpose(1, 2)  # (B, 3, T, S, S)
    matrix, offset = to_rgb[..., :3], to_rgb[..., 3] + 128 * to_rgb[..., :3].sum(-1)
    rgb = (matrix.to(number) @ stored.flatten(2)).unflatten(2, stored.shape[2:])
    rgb = rgb.add_(offset.to(number).reshape(-1, 3, 1, 1, 1)).round_().clamp_(0, 255)
    return rgb.to(torch.uint8)


def resize_weights(axis: Tensor, length: int, *, size: int) -> Tensor:
    """Weights of `length` pixels in each of S kept ones, as antialiased bilinear resizing has them.

    `axis` (B, 4): start and length of the box, its length once resized, first kept pixel. Returns
    float32 (B, S, length), whose rows add up to 1.
    """
    start, box, resized, first = axis[:, :, None].unbind(1)  # (B, 1) each
    scale = box / resized
    kept = torch.arange(size, device=axis.device) + first  # (B, S)
    centre = start + scale * (kept + 0.5)
    place = torch.arange(length, device=axis.device) + 0.5  # (length,)
    distance = (place - centre[..., None]).abs() / scale.clamp(min=1)[..., None]
    is_inside = (place > start) & (place < start + box)  # (B, length)
    weights = (1 - distance).clamp(min=0) * is_inside[:, None]
    return weights / weights.sum(-1, keepdim=True)


def _resize(planes: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Resize uint8 (B, N, h, w) by weights (B, S, h) and (B, S, w): (B, N, S, S), less 128.

    Half precision is fine enough for numbers of at most 128.
    """
    values = planes.to(down.dtype).sub_(128).flatten(1, 2)  # (B, N * h, w)
    values = (values @ across.mT).unflatten(1, planes.shape[1:3])  # (B, N, h, S)
    return down[:, None] @ values


def _needed(start: int, length: int, resized: int, first: int, size: int) -> slice:
    """Pixels of an axis that count in the kept ones; colour comes in twos: the first is even."""
    scale = length / resized
    reach = max(scale, 1.0)
    least = start + scale * (first + 0.5) - reach
    most = start + scale * (first + size - 0.5) + reach
    begin = max(int(least), start)
    return slice(begin - begin % 2, min(int(most) + 1, start + length))


def _zeros(*shape: int, share: bool) -> Tensor:
    zeros = torch.empty(0, dtype=torch.uint8)
    if not share:
        return zeros.new_zeros(shape)
    storage = zeros.untyped_storage()._new_shared(int(np.prod(shape)), device="cpu")
    return zeros.new(storage).reshape(shape)
