"""Cross-attention between two grids: windows of queries read windows of keys, with position bias.

Semantic tokens and patch tokens cover the same clip, each on its own grid; both are placed in units
of the finer one. The context may begin with centres on the grid of the queries.

Legend: B clips, N queries, M context tokens, E centres ahead in the context (0 or N), W windows,
Q queries and K keys of a window, D width, h heads, d width of one head.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from stvit_video.models.families.swin.relative_bias import AxisPlaces
from stvit_video.models.families.swin.windows import Size, merge_windows, padded_grid, split_windows
from stvit_video.tokens.grid import Grid

Extent = tuple[int | None, int | None, int | None]
BiasReader = Callable[[list[AxisPlaces]], Tensor]
WHOLE: Extent = (None, None, None)


class Reach(NamedTuple):
    """Windows of queries and the windows of keys around them, in tokens; None is a whole axis."""

    queries: Extent = WHOLE
    keys: Extent = WHOLE


EVERYTHING = Reach()


class CrossWindows:
    """How the windows of one grid read another one."""

    def __init__(self, grid: Grid, context_grid: Grid, reach: Reach) -> None:
        self.grid = grid
        self.context_grid = context_grid
        self.window = _extent(grid, reach.queries)
        self.key_window = _extent(context_grid, reach.keys)
        padded = padded_grid(grid, self.window)
        t, h, w = (full // size for full, size in zip(padded, self.window, strict=True))
        self.num_windows = Grid(t, h, w)
        self.is_global = self.num_windows.size == 1 and self.key_window == tuple(context_grid)

    def split_queries(self, tokens: Tensor) -> Tensor:
        """(B, h, N, d) -> (B, h*W, Q, d)."""
        windows = split_windows(tokens.flatten(0, 1), self.grid, self.window)
        return windows.unflatten(0, tokens.shape[:2]).flatten(1, 2)

    def merge_queries(self, windows: Tensor, num_heads: int) -> Tensor:
        """(B, h*W, Q, d) -> (B, h, N, d)."""
        windows = windows.unflatten(1, (num_heads, -1))  # (B, h, W, Q, d)
        tokens = merge_windows(windows.flatten(0, 1), self.grid, self.window)
        return tokens.unflatten(0, windows.shape[:2])

    def split_context(self, tokens: Tensor) -> Tensor:
        """Give every window its keys: (B, h, E + M, d) -> (B, h*W, K, d)."""
        centers, tokens = tokens.split(
            [tokens.shape[2] - self.context_grid.size, self.context_grid.size], dim=2
        )
        volume = tokens.flatten(0, 1).unflatten(1, tuple(self.context_grid))  # (B*h, t, h, w, d)
        for axis, size in enumerate(self.key_window):
            if self.num_windows[axis] * size != self.context_grid[axis]:  # windows overlap
                starts = self._key_starts(axis)
                parts = [volume.narrow(axis + 1, start, size) for start in starts]
                volume = torch.cat(parts, dim=axis + 1)
        t, h, w = self.num_windows
        x, y, z = self.key_window
        keys = rearrange(
            volume, "b (t x) (h y) (w z) d -> b (t h w) (x y z) d", t=t, h=h, w=w, x=x, y=y, z=z
        ).unflatten(0, tokens.shape[:2])  # (B, h, W, K, d)
        keys = keys.flatten(1, 2)  # (B, h*W, K, d)
        return torch.cat([self.split_queries(centers), keys], dim=2) if centers.numel() else keys

    def bias(self, read: BiasReader, device: torch.device, *, has_centers: bool) -> Tensor:
        """Read the position bias of every window with its keys: -> (h*W, Q, K)."""
        places = [self._places(axis, device) for axis in range(3)]
        bias = read(places)  # (W, h, Q, K of the context)
        if has_centers:
            own = read([AxisPlaces(place.queries, place.queries) for place in places])
            bias = torch.cat([own, bias], dim=-1)
        return bias.transpose(0, 1).flatten(0, 1)

    def scatter(self, weights: Tensor) -> Tensor:
        """Put weights (B, W, Q, K of the context) on the whole context: -> (B, N, M)."""
        t, h, w = (self._key_index(axis, weights.device) for axis in range(3))
        _, height, width = self.context_grid
        index = (t[:, None, None, :, None, None] * height + h[None, :, None, None, :, None]) * width
        index = (index + w[None, None, :, None, None, :]).flatten(3).flatten(0, 2)  # (W, K)
        whole = weights.new_zeros(*weights.shape[:3], self.context_grid.size)
        whole = whole.scatter(3, index[None, :, None].expand_as(weights), weights)
        return merge_windows(whole, self.grid, self.window)

    def _key_starts(self, axis: int) -> list[int]:
        """First key of every window of an axis; a window stays inside the grid."""
        length, size, num_windows = (
            self.context_grid[axis],
            self.key_window[axis],
            self.num_windows[axis],
        )
        margin = (size - length // num_windows) // 2
        starts = (window * length // num_windows - margin for window in range(num_windows))
        return [min(max(start, 0), length - size) for start in starts]

    def _key_index(self, axis: int, device: torch.device) -> Tensor:
        """Index the keys of every window of an axis: int (W, K)."""
        size = self.key_window[axis]
        starts = self._key_starts(axis)
        return torch.stack([torch.arange(n, n + size, device=device) for n in starts])

    def _places(self, axis: int, device: torch.device) -> AxisPlaces:
        length, context = self.grid[axis], self.context_grid[axis]
        keys = self._key_index(axis, device)
        queries = torch.arange(self.num_windows[axis] * self.window[axis], device=device)
        queries = queries.view(self.num_windows[axis], -1)
        return AxisPlaces(
            (queries + 0.5) * max(1.0, context / length) - 0.5,
            (keys + 0.5) * max(1.0, length / context) - 0.5,
        )


def expand_mask(mask: Tensor, num_centers: int) -> Tensor:
    """Let centres ahead of the context be read: bool (B, 1, 1, M) -> (B, 1, 1, E + M)."""
    return F.pad(mask, (num_centers, 0), value=True)


def _extent(grid: Grid, extent: Extent) -> Size:
    t, h, w = (n if size is None else min(n, size) for n, size in zip(grid, extent, strict=True))
    return t, h, w
