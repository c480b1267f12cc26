"""Attention inside the windows of a grid, shifted or not, with relative position bias.

Where windows are shifted, the bias has -inf between tokens that were not together before the
shift. Attention then takes windows x heads as its heads, so that one bias serves all clips of a
batch by stride 0 and is never copied per clip.

Legend: B clips, W windows, L tokens in a window, Q queries, K keys, D width, h heads, d width of
one head.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.models.families.swin.cross import EVERYTHING, Extent, Reach
from stvit_video.models.families.swin.relative_bias import (
    AxisPlaces,
    interpolated_bias,
    table_length,
    window_bias,
)
from stvit_video.models.families.swin.windows import NO_SHIFT, Size, fit_window, shift_regions
from stvit_video.models.layers.attention import Attention
from stvit_video.tokens.grid import Grid


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowPlan:
    """Which tokens a block lets see each other."""

    window: Extent
    """Tokens of a window along (t, h, w); None is the whole axis."""
    shift: Size = NO_SHIFT
    """Tokens by which windows are moved."""
    table: Size | None = None
    """Window whose offsets the bias table holds, in patches; None for no bias."""
    cell: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Patches from one token to the next: more than 1 on a semantic grid."""
    reach: Reach = EVERYTHING
    """Windows of cross-attention, when the block clusters or recovers."""
    reads_queries: bool = False
    """Cross-attention has the queries of its window as keys, too."""
    skips_centers: bool = False
    """Cross-attention leaves out the centres ahead of its context."""
    projects_windows: bool = False
    """Cross-attention without bias projects keys once per window, not once per token."""

    def fit(self, grid: Grid) -> tuple[Size, Size]:
        """Return window and shift on a grid."""
        t, h, w = (n if size is None else size for n, size in zip(grid, self.window, strict=True))
        return fit_window(grid, (t, h, w), self.shift)


class WindowAttention(Attention):
    """Multi-head attention with a table of relative position biases, or without."""

    def __init__(self, dim: int, *, num_heads: int, plan: WindowPlan) -> None:
        super().__init__(dim, num_heads=num_heads)
        self.plan = plan
        self.relative_position_bias_table: nn.Parameter | None = None
        if plan.table is not None:
            shape = (table_length(plan.table), num_heads)
            self.relative_position_bias_table = nn.Parameter(torch.empty(shape))
            nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def attend_in_windows(self, windows: Tensor, grid: Grid, window: Size, shift: Size) -> Tensor:
        """Let the tokens of each window see each other: (B, W, L, D) -> (B, W, L, D)."""
        q, k, v = self.project(windows.flatten(0, 1))  # (B*W, h, L, d) each
        bias = self._bias_in_windows(grid, window, shift, q)
        if bias is None or bias.ndim == 3:
            x = F.scaled_dot_product_attention(
                q, k, v, attn_mask=None if bias is None else bias[None]
            ).transpose(1, 2)  # (B*W, L, h, d)
        else:
            split = windows.shape[:2]
            q, k, v = (x.unflatten(0, split).flatten(1, 2) for x in (q, k, v))  # (B, W*h, L, d)
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.flatten(0, 1)[None])
            x = x.unflatten(1, (split[1], -1)).transpose(2, 3)  # (B, W, L, h, d)
        return self.proj(x.flatten(-2)).view(windows.shape)

    def read_bias(self, places: list[AxisPlaces], like: Tensor) -> Tensor:
        """Interpolate the table: places by axis -> (W, h, Q, K), of the type of `like`."""
        table = self.relative_position_bias_table
        assert self.plan.table is not None
        assert table is not None
        return interpolated_bias(table.to(like.dtype), self.plan.table, places)

    def _bias_in_windows(
        self, grid: Grid, window: Size, shift: Size, like: Tensor
    ) -> Tensor | None:
        """Return what is added to the scores: (h, L, L), (W, h, L, L) where shifted, or None."""
        bias = None if self.plan.table is None else self._table_bias(window, like)
        if not any(shift):
            return bias
        region = shift_regions(grid, window, shift, like.device)  # (W, L)
        together = (region[:, :, None] == region[:, None])[:, None]  # (W, 1, L, L)
        if bias is None:
            bias = like.new_zeros(self.num_heads, 1, 1)
        return torch.where(together, bias, float("-inf"))

    def _table_bias(self, window: Size, like: Tensor) -> Tensor:
        table = self.relative_position_bias_table
        assert self.plan.table is not None
        assert table is not None
        if self.plan.cell == (1.0, 1.0, 1.0):
            return window_bias(table.to(like.dtype), self.plan.table, window)
        axes = zip(window, self.plan.cell, strict=True)
        places = [torch.arange(n, device=like.device)[None] * step for n, step in axes]
        return self.read_bias([AxisPlaces(place, place) for place in places], like)[0]
