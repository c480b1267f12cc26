"""Cut a token grid into windows, shifted or not, and put it together again.

Legend: B clips, (t, h, w) token grid, N = t*h*w tokens, W windows, M tokens in a window, D width.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from stvit_video.tokens.grid import Grid

Size = tuple[int, int, int]
NO_SHIFT: Size = (0, 0, 0)


def fit_window(grid: Grid, window: Size, shift: Size) -> tuple[Size, Size]:
    """Shrink a window to a smaller grid; an axis that is one window does not shift."""
    axes = list(zip(grid, window, shift, strict=True))
    t, h, w = (min(n, size) for n, size, _ in axes)
    dt, dh, dw = (0 if n <= size else step for n, size, step in axes)
    return (t, h, w), (dt, dh, dw)


def padded_grid(grid: Grid, window: Size) -> Grid:
    """Return the grid after padding to whole windows."""
    t, h, w = (-(-n // size) * size for n, size in zip(grid, window, strict=True))
    return Grid(t, h, w)


def split_windows(tokens: Tensor, grid: Grid, window: Size, shift: Size = NO_SHIFT) -> Tensor:
    """Fold by windows: (B, N, D) -> (B, W, M, D); zeros fill up the last windows of an axis.

    A shifted window begins `shift` tokens later; what it pushes out comes back on the other side.
    """
    volume = tokens.unflatten(1, tuple(grid))  # (B, t, h, w, D)
    padded = padded_grid(grid, window)
    if padded != grid:
        t, h, w = (full - n for full, n in zip(padded, grid, strict=True))
        volume = F.pad(volume, (0, 0, 0, w, 0, h, 0, t))
    volume = _roll(volume, shift, -1)
    x, y, z = window
    return rearrange(volume, "b (t x) (h y) (w z) d -> b (t h w) (x y z) d", x=x, y=y, z=z)


def merge_windows(windows: Tensor, grid: Grid, window: Size, shift: Size = NO_SHIFT) -> Tensor:
    """Undo `split_windows`: (B, W, M, D) -> (B, N, D)."""
    t, h, w = (full // size for full, size in zip(padded_grid(grid, window), window, strict=True))
    x, y, z = window
    volume = rearrange(
        windows, "b (t h w) (x y z) d -> b (t x) (h y) (w z) d", t=t, h=h, w=w, x=x, y=y, z=z
    )
    volume = _roll(volume, shift, 1)
    return volume[:, : grid.t, : grid.h, : grid.w].flatten(1, 3)  # (B, N, D)


def shift_regions(grid: Grid, window: Size, shift: Size, device: torch.device) -> Tensor:
    """Number what was together before the shift: int (W, M).

    Tokens of one window may see each other where their numbers agree: the last window of a
    shifted axis holds the end of the grid and, come around, its beginning.
    """
    regions = torch.zeros((1, 1, 1), dtype=torch.long, device=device)
    for axis, (length, step) in enumerate(zip(padded_grid(grid, window), shift, strict=True)):
        place = torch.arange(length, device=device)
        came_around = (place >= length - step).long()
        shape = [1, 1, 1]
        shape[axis] = length
        regions = regions * 2 + came_around.view(shape)  # (t, h, w) in the end
    x, y, z = window
    return rearrange(regions, "(t x) (h y) (w z) -> (t h w) (x y z)", x=x, y=y, z=z)


def _roll(volume: Tensor, shift: Size, sign: int) -> Tensor:
    dims = [axis for axis, step in enumerate(shift, start=1) if step]
    if not dims:
        return volume
    return volume.roll([sign * step for step in shift if step], dims)
