"""Positions of tokens: fixed tables, and any table on another grid.

Legend: P class tokens, (t, h, w) token grid, N = t*h*w patch tokens, D width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from stvit_video.tokens.grid import Grid, split_class_token

Resizing = Literal["smooth", "nearest"]


def sinusoid_positions(num_positions: int, dim: int) -> Tensor:
    """Fixed positions (1, N, D) of VideoMAE: sine in even, cosine in odd channels.

    Channel 2i and 2i + 1 turn by position / 10000^(2i / D).
    """
    channel = torch.arange(dim, dtype=torch.float64, device="cpu")
    position = torch.arange(num_positions, dtype=torch.float64, device="cpu")
    angle = position[:, None] / 10000 ** (2 * (channel // 2) / dim)  # (N, D)
    table = torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()[None]
    return table.to(torch.get_default_device())  # arithmetic on the meta device is a slow import


def resize_positions(
    positions: Tensor, native: Grid, grid: Grid, resizing: Resizing = "smooth"
) -> Tensor:
    """Interpolate positions (1, P + N, D) from the native grid to another one.

    Bicubic in space and linear in time, or the nearest; positions of class tokens stay.
    """
    is_any = any(isinstance(side, torch.SymInt) for side in grid)  # in torch.export
    if not is_any and native == grid:
        return positions
    cls, patches = split_class_token(positions, native)
    in_space, in_time = ("nearest", "nearest") if resizing == "nearest" else ("bicubic", "linear")
    frames = patches.unflatten(1, tuple(native))[0].permute(0, 3, 1, 2)  # (t, D, h, w)
    frames = F.interpolate(frames.float(), size=grid[1:], mode=in_space)
    series = frames.permute(2, 3, 1, 0).flatten(0, 1)  # (h*w, D, t)
    series = F.interpolate(series, size=grid.t, mode=in_time)
    resized = series.permute(2, 0, 1).flatten(0, 1)[None]  # (1, t*h*w, D)
    return torch.cat([cls, resized.to(positions.dtype)], dim=1)
