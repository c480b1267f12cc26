"""The Swin block, on one grid and between two.

Legend: B clips, (t, h, w) grid, N = t*h*w tokens, M context tokens, E centres ahead of them, W
windows, Q queries and K keys of a window, D width, h heads, d width of one head.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.models.families.swin.attention import WindowAttention, WindowPlan
from stvit_video.models.families.swin.cross import CrossWindows, expand_mask
from stvit_video.models.families.swin.windows import merge_windows, split_windows
from stvit_video.models.layers.blocks import Block
from stvit_video.tokens.grid import Grid


class SwinBlock(Block):
    """A block whose attention stays inside windows, of one grid or between two grids.

    Keys and values are projected once per token, also where windows of keys overlap; only the
    released STViT-R projects them once per window, and its published FLOPs count that.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        plan: WindowPlan,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-5,
        activation: Callable[..., nn.Module] = nn.GELU,
        drop_path: float = 0.0,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__(
            dim,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            norm_eps=norm_eps,
            activation=activation,
            drop_path=drop_path,
            layer_scale=layer_scale,
        )
        self.plan = plan
        self.attn: WindowAttention = WindowAttention(dim, num_heads=num_heads, plan=plan)

    def forward(
        self,
        tokens: Tensor,
        grid: Grid | None = None,
        *,
        context: Tensor | None = None,
        context_grid: Grid | None = None,
        mask: Tensor | None = None,
        shortcut: bool = True,
        **unknown: object,
    ) -> Tensor:
        """Refine: tokens (B, N, D) on `grid`, context (B, M, D) on its grid -> (B, N, D)."""
        assert grid is not None
        assert not any(unknown.values()), "windows need their grid; Swin networks refuse reducers"
        if context is None:
            window, shift = self.plan.fit(grid)
            windows = split_windows(self.norm1(tokens), grid, window, shift)  # (B, W, L, D)
            windows = self.attn.attend_in_windows(windows, grid, window, shift)
            attended = merge_windows(windows, grid, window, shift)  # (B, N, D)
        else:
            assert context_grid is not None
            attended = self._attend_across(tokens, grid, context, context_grid, mask)
        attended = self.scale1(attended)
        return self.feed_forward(tokens + self.drop_path(attended) if shortcut else attended)

    def _attend_across(
        self,
        tokens: Tensor,
        grid: Grid,
        context: Tensor,
        context_grid: Grid,
        mask: Tensor | None,
    ) -> Tensor:
        windows = CrossWindows(grid, context_grid, self.plan.reach)
        if self.plan.projects_windows and mask is None:
            return self._attend_by_window(tokens, context, windows)
        q, k, v = self._project_across(tokens, context, context_grid)
        bias = self._bias_across(windows, k, mask)
        if windows.is_global:
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            q = windows.split_queries(q)  # (B, h*W, Q, d)
            k, v = windows.split_context(k), windows.split_context(v)
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            x = windows.merge_queries(x, self.attn.num_heads)  # (B, h, N, d)
        return self.attn.proj(x.transpose(1, 2).flatten(2))

    def _attend_by_window(self, tokens: Tensor, context: Tensor, windows: CrossWindows) -> Tensor:
        """Attend without bias, every window with keys and values of its own: -> (B, N, D)."""
        queries, context = self.norm1(tokens), self.norm1(context)
        if self.plan.reads_queries:
            context = torch.cat([queries, context], dim=1)
        queries = windows.split_queries(queries[:, None])  # (B, W, Q, D)
        keys = windows.split_context(context[:, None])  # (B, W, K, D)
        q, k, v = self.attn.project(queries.flatten(0, 1), keys.flatten(0, 1))
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B*W, Q, D)
        attended = self.attn.proj(x).view(queries.shape)
        return windows.merge_queries(attended, 1).squeeze(1)

    def weights_across(
        self,
        tokens: Tensor,
        grid: Grid,
        context: Tensor,
        context_grid: Grid,
        mask: Tensor | None,
    ) -> Tensor:
        """Return what the tokens read from the context's grid, mean over heads: (B, N, M)."""
        windows = CrossWindows(grid, context_grid, self.plan.reach)
        q, k, _ = self._project_across(tokens, context, context_grid)
        bias = self._bias_across(windows, k, mask)
        num_keys = k.shape[2]
        q, k = windows.split_queries(q), windows.split_context(k)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5  # (B, h*W, Q, K)
        if bias is not None and bias.dtype == torch.bool:
            scores = scores.masked_fill(~bias, float("-inf"))
        elif bias is not None:
            scores = scores + bias
        weights = scores.softmax(dim=-1).unflatten(1, (self.attn.num_heads, -1)).mean(dim=1)
        if num_keys > context_grid.size:
            weights = weights[..., q.shape[2] :]  # leave out the centres of the window
        return windows.scatter(weights)

    def _project_across(
        self, tokens: Tensor, context: Tensor, context_grid: Grid
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make q (B, h, N, d), and k and v (B, h, E + M, d)."""
        queries = self.norm1(tokens)
        if self.plan.skips_centers:
            context = context[:, -context_grid.size :]
        context = self.norm1(context)
        if self.plan.reads_queries:
            context = torch.cat([queries, context], dim=1)
        return self.attn.project(queries, context)

    def _bias_across(
        self, windows: CrossWindows, keys: Tensor, mask: Tensor | None
    ) -> Tensor | None:
        """Join position bias and mask: -> (B or 1, h*W, Q or 1, K), None where there is neither."""
        if mask is not None:
            mask = expand_mask(mask, keys.shape[2] - mask.shape[-1])  # (B, 1, 1, E + M)
            if not windows.is_global:
                counts = mask.transpose(2, 3).to(keys.dtype).expand(-1, self.attn.num_heads, -1, -1)
                mask = windows.split_context(counts).transpose(2, 3) > 0  # (B, h*W, 1, K)
        if self.plan.table is None:
            return mask
        bias = windows.bias(
            lambda places: self.attn.read_bias(places, keys),
            keys.device,
            has_centers=keys.shape[2] > windows.context_grid.size,
        )[None]  # (1, h*W, Q, K)
        return bias if mask is None else torch.where(mask, bias, float("-inf"))


class PlacedLayer:
    """A block with the grids that it works between: what generators and recoveries call."""

    def __init__(self, block: SwinBlock, grid: Grid, context_grid: Grid) -> None:
        self.block = block
        self.grid = grid
        self.context_grid = context_grid

    def __call__(
        self,
        tokens: Tensor,
        *,
        context: Tensor,
        mask: Tensor | None = None,
        shortcut: bool = True,
    ) -> Tensor:
        """Attend across: tokens (B, N, D), context (B, E + M, D) -> (B, N, D)."""
        return self.block(
            tokens,
            self.grid,
            context=context,
            context_grid=self.context_grid,
            mask=mask,
            shortcut=shortcut,
        )

    def attention_weights(self, tokens: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """Return what the tokens read from the context's grid: (B, N, M)."""
        return self.block.weights_across(tokens, self.grid, context, self.context_grid, mask)
