"""Clips as the codec stores them, and how a device makes RGB clips of a batch of them.

A worker that ships the planes of the wanted window spares the conversion and the resizing, and
half the bytes. The device does both for the whole batch by matrix products.

Legend: B clips, T frames, h w height and width of what is shipped, S of a clip, C colours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from stvit_video.video.frame_planes import FramePlanes
from stvit_video.video.pixels.transform import WindowTransform

_NUM_NUMBERS = 20
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


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaneBatch:
    """B clips of any sizes in one piece of memory; what lies outside of a clip is never read."""

    data: Tensor
    """uint8: numbers, luma and chroma, one behind the other."""
    num_clips: int
    num_frames: int
    height: int
    """Of the highest clip, rounded up."""
    width: int
    """Of the widest clip, rounded up."""
    size: int
    """Height and width S of the clips to be made."""
    slot: int = -1
    """Which of its pieces of memory the worker has filled; -1 where it has none of its own."""

    @property
    def numbers(self) -> Tensor:
        """float32 (B, 20), see `ClipPlanes`."""
        return self._part(0, 4 * _NUM_NUMBERS).view(torch.float32)

    @property
    def luma(self) -> Tensor:
        """uint8 (B, T, h, w)."""
        start = 4 * _NUM_NUMBERS * self.num_clips
        return self._part(start, self.num_frames, self.height, self.width)

    @property
    def chroma(self) -> Tensor:
        """uint8 (B, T, 2, h / 2, w / 2)."""
        pixels = self.num_frames * self.height * self.width
        start = (4 * _NUM_NUMBERS + pixels) * self.num_clips
        return self._part(start, self.num_frames, 2, self.height // 2, self.width // 2)

    @staticmethod
    def num_bytes(num_clips: int, num_frames: int, height: int, width: int) -> int:
        """Bytes of `data`."""
        return num_clips * (4 * _NUM_NUMBERS + num_frames * height * width * 3 // 2)

    def to(self, device: torch.device) -> Self:
        """Copy to a device, without waiting for it."""
        return replace(self, data=self.data.to(device, non_blocking=True))

    def _part(self, start: int, *shape: int) -> Tensor:
        length = self.num_clips * math.prod(shape)
        return self.data[start : start + length].reshape(self.num_clips, *shape)


class PlaneTransform(WindowTransform):
    """Chooses windows as `WindowTransform`, and leaves conversion and resizing to a device.

    For frames that come in planes; a call on RGB frames makes the clip here.
    """

    def takes(self, height: int, width: int) -> bool:
        """Whether planes of frames of this size can be shipped and are little enough for it."""
        return self.augment is None and height * width <= _MOST_SHIPPED * self.size**2

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


def join_planes(parts: Sequence[ClipPlanes]) -> ClipPlanes:
    """Put parts of a clip behind each other, all of one window."""
    luma = torch.cat([part.luma for part in parts])
    return parts[0]._replace(luma=luma, chroma=torch.cat([part.chroma for part in parts]))


TakeMemory = Callable[[int], tuple[Tensor, int]]
"""Bytes -> uint8 memory of that length, and its slot, see `PlaneBatch`."""


def new_memory(num_bytes: int) -> tuple[Tensor, int]:
    """Return memory that is nobody's."""
    return torch.empty(num_bytes, dtype=torch.uint8), -1


def stack_planes(clips: Sequence[ClipPlanes], *, take: TakeMemory = new_memory) -> PlaneBatch:
    """Put clips of any sizes into one batch."""
    height, width = (
        _round_up(max(clip.luma.shape[i] for clip in clips), unit)
        for i, unit in ((1, 4), (2, 16))  # a GPU multiplies matrices of such sizes fastest
    )
    shape = (len(clips), len(clips[0].luma), height, width)
    data, slot = take(PlaneBatch.num_bytes(*shape))
    batch = PlaneBatch(
        data=data,
        num_clips=shape[0],
        num_frames=shape[1],
        height=height,
        width=width,
        size=clips[0].size,
        slot=slot,
    )
    numbers, luma, chroma = batch.numbers, batch.luma, batch.chroma
    for row, clip in enumerate(clips):
        numbers[row] = clip.numbers
        luma[row, :, : clip.luma.shape[1], : clip.luma.shape[2]] = clip.luma
        chroma[row, :, :, : clip.chroma.shape[2], : clip.chroma.shape[3]] = clip.chroma
    return batch


def make_clips(planes: PlaneBatch, *, dtype: torch.dtype | None = None) -> Tensor:
    """Convert, resize and crop: planes -> uint8 RGB (B, C, T, S, S), on the planes' device.

    The same as converting with FFmpeg and resizing with torchvision (antialiased) to within a few
    grey levels: here nothing is rounded between the steps. `dtype` is that of the products, by
    default half precision on a GPU.
    """
    number = dtype or (torch.float16 if planes.data.is_cuda else torch.float32)
    numbers = planes.numbers
    down = resize_weights(numbers[:, :4], planes.height, size=planes.size)  # (B, S, h)
    across = resize_weights(numbers[:, 4:8], planes.width, size=planes.size)  # (B, S, w)
    to_rgb = numbers[:, 8:].unflatten(1, (3, 4))  # (B, 3, 4)
    planes_down = (down, _in_pairs(down), _in_pairs(down))  # of Y, of Cb and of Cr
    offset = to_rgb[..., 3] + 128 * to_rgb[..., :3].sum(-1) + 0.5  # the last: it is cut below
    height, ones = planes.height, 8  # a GPU multiplies matrices of such sizes fastest
    weights = offset.new_zeros(planes.num_clips, 3, planes.size, 2 * height + ones)
    torch.cat(  # resizing and conversion in one
        [to_rgb[..., i, None, None] * rows[:, None] for i, rows in enumerate(planes_down)],
        dim=-1,
        out=weights[..., : 2 * height],
    )
    weights[..., 2 * height] = offset[..., None]
    values = torch.ones(
        *(planes.num_clips, 2 * height + ones, planes.num_frames * planes.size),
        dtype=number,
        device=planes.data.device,
    )
    _resize_rows(planes.luma[:, :, None], across, out=values[:, :height])
    _resize_rows(planes.chroma, _in_pairs(across), out=values[:, height : 2 * height])
    rgb = weights.flatten(1, 2).to(number) @ values  # (B, 3 * S, T * S)
    rgb = rgb.unflatten(2, (-1, planes.size)).unflatten(1, (3, -1)).transpose(2, 3)
    return rgb.clamp_(0, 255).to(torch.uint8, memory_format=torch.contiguous_format)


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


def _resize_rows(planes: Tensor, across: Tensor, *, out: Tensor) -> None:
    """Resize each row of uint8 (B, T, N, h, w) by weights (B, S, w): (B, N * h, T * S), less 128.

    Half precision is fine enough for numbers of at most 128.
    """
    by_row = planes.permute(0, 2, 3, 1, 4)  # (B, N, h, T, w)
    values = torch.empty(by_row.shape, dtype=out.dtype, device=out.device)
    torch.sub(by_row, 128.0, out=values)
    product = out.view(len(out), -1, across.shape[1])  # (B, N * h * T, S)
    torch.bmm(values.flatten(1, 3), across.to(out.dtype).mT, out=product)


def _in_pairs(weights: Tensor) -> Tensor:
    """Weights of pixels that count for two neighbours each: (..., n) -> (..., n / 2)."""
    return weights.unflatten(-1, (-1, 2)).sum(-1)


def _needed(start: int, length: int, resized: int, first: int, size: int) -> slice:
    """Pixels of an axis that count in the kept ones; colour comes in twos: the first is even."""
    scale = length / resized
    reach = max(scale, 1.0)
    least = start + scale * (first + 0.5) - reach
    most = start + scale * (first + size - 0.5) + reach
    begin = max(int(least), start)
    return slice(begin - begin % 2, min(int(most) + 1, start + length))


def _round_up(length: int, unit: int) -> int:
    return -(-length // unit) * unit
