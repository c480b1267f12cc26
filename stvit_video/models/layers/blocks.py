"""Pre-norm transformer blocks: the one shape that self-, cross- and recovery attention share.

Legend: B clips, P class tokens (0 or 1), (t, h, w) grid, N tokens (of a grid, N = t*h*w), M context
tokens, D width.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stvit_video.models.layers.attention import Attention, attend_along_axes
from stvit_video.models.layers.branch import DropPath, LayerScale, Mlp
from stvit_video.models.layers.rotary import Turn
from stvit_video.tokens.grid import Grid, split_class_token
from stvit_video.tokens.token_set import Places

Reduce = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Tokens (B, N, D), and queries and keys (B, h, N, d) of the attention -> tokens (B, S, D)."""


class Block(nn.Module):
    """Attention and MLP, each on normed tokens and added to them.

    With a `context`, queries read from it: keys and values pass through the same norm, as the
    tokens of self-attention do, so the weights of either serve the other.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-6,
        activation: Callable[..., nn.Module] = nn.GELU,
        drop_path: float = 0.0,
        layer_scale: float | None = None,
        rotary: Turn | None = None,
    ) -> None:
        super().__init__()
        self.norm1: nn.Module = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, num_heads=num_heads, rotary=rotary)
        self.norm2: nn.Module = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp: nn.Module = Mlp(dim, int(dim * mlp_ratio), activation)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.scale1 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.scale2 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)

    def forward(
        self,
        tokens: Tensor,
        grid: Grid | None = None,
        *,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        shortcut: bool = True,
        reduce: Reduce | None = None,
        places: Places | None = None,
    ) -> Tensor:
        """Refine: tokens (B, N, D), context (B, M, D) -> (B, N, D), or as many as `reduce` leaves.

        All tokens see each other, so `grid` is not read. Without `shortcut` the attention
        replaces the tokens instead of being added to them. `mask` and `places` are those of
        `Attention`. `reduce` makes fewer tokens between the attention and the MLP.
        """
        normed = None if context is None else self.norm1(context)
        compared: list[tuple[Tensor, Tensor]] = []
        tap = None if reduce is None else lambda q, k: compared.append((q, k))
        attended = self.scale1(self.attn(self.norm1(tokens), normed, mask, places=places, tap=tap))
        tokens = tokens + self.drop_path(attended) if shortcut else attended
        if reduce is not None:
            tokens = reduce(tokens, *compared[0])
        return self.feed_forward(tokens)

    def feed_forward(self, tokens: Tensor) -> Tensor:
        """Add the MLP branch: (B, N, D) -> (B, N, D)."""
        return tokens + self.drop_path(self.scale2(self.mlp(self.norm2(tokens))))

    def attention_weights(
        self, tokens: Tensor, context: Tensor, mask: Tensor | None, places: Places | None = None
    ) -> Tensor:
        """Return what the tokens read from the context, mean over heads: (B, N, M)."""
        return self.attn.weights(self.norm1(tokens), self.norm1(context), mask, places)


class AxesBlock(Block):
    """A block that reads along the axes of a grid, where it is given one.

    With a `context`, as a layer of a generator or a recovery, or with a reducer it is plain.
    """

    def forward(
        self,
        tokens: Tensor,
        grid: Grid | None = None,
        *,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        shortcut: bool = True,
        reduce: Reduce | None = None,
        places: Places | None = None,
    ) -> Tensor:
        """Refine: tokens (B, P + N, D) on `grid` -> (B, P + N, D)."""
        if grid is not None and context is None and reduce is None:
            return self.on_grid(tokens, grid, mask)
        return super().forward(
            tokens, context=context, mask=mask, shortcut=shortcut, reduce=reduce, places=places
        )

    def on_grid(self, tokens: Tensor, grid: Grid, mask: Tensor | None) -> Tensor:
        """Refine: tokens (B, P + N, D) on `grid` -> (B, P + N, D).

        `mask` is None or one for all queries, (B, 1, 1, P + N); along time it is not read.
        """
        raise NotImplementedError


class DividedBlock(AxesBlock):
    """Attention along time, then within every frame, then the MLP.

    TimeSformer maps what time gives by `temporal_fc`; ViViT's factorised self-attention (model 3)
    does without. A class token takes no part in time, reads every frame, and takes the average.
    With a `context` this is a plain block: the layers of generators and recoveries are plain.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-6,
        activation: Callable[..., nn.Module] = nn.GELU,
        drop_path: float = 0.0,
        has_temporal_fc: bool = True,
    ) -> None:
        super().__init__(
            dim,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            norm_eps=norm_eps,
            activation=activation,
            drop_path=drop_path,
        )
        self.temporal_norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.temporal_attn = Attention(dim, num_heads=num_heads)
        self.temporal_fc = nn.Linear(dim, dim) if has_temporal_fc else nn.Identity()

    def on_grid(self, tokens: Tensor, grid: Grid, mask: Tensor | None) -> Tensor:
        """Refine: tokens (B, P + N, D) on `grid` -> (B, P + N, D)."""
        cls, patches = split_class_token(tokens, grid)
        if mask is not None:
            mask = frame_mask(mask, grid)
        patches = self._attend_in_time(patches, grid)
        return self.feed_forward(self._attend_in_frames(cls, patches, mask))

    def _attend_in_time(self, patches: Tensor, grid: Grid) -> Tensor:
        """(B, N, D) -> (B, t, h*w, D)."""
        attended = self.temporal_attn.along_time(self.temporal_norm1(patches), grid)
        attended = self._drop_series(attended.unflatten(1, (grid.t, -1)))
        return patches.unflatten(1, (grid.t, -1)) + self.temporal_fc(attended)

    def _drop_series(self, attended: Tensor) -> Tensor:
        """Drop the path of single places (B, t, h*w, D), as TimeSformer does."""
        if not self.training or isinstance(self.drop_path, nn.Identity):
            return attended
        num_clips, _, num_places, _ = attended.shape
        kept = self.drop_path(attended.new_ones(num_clips * num_places, 1))
        return attended * kept.view(num_clips, 1, num_places, 1)

    def _attend_in_frames(self, cls: Tensor, patches: Tensor, mask: Tensor | None) -> Tensor:
        """(B, P, D), (B, t, h*w, D), mask (B*t, 1, 1, P + h*w) -> (B, P + N, D)."""
        num_class_tokens, num_frames = cls.shape[1], patches.shape[1]
        frames = patches
        if num_class_tokens:
            copies = cls[:, None].expand(-1, num_frames, -1, -1)  # (B, t, P, D)
            frames = torch.cat([copies, patches], dim=2)  # (B, t, P + h*w, D)
        attended = self.drop_path(self.attn(self.norm1(frames.flatten(0, 1)), mask=mask))
        attended = attended.unflatten(0, (-1, num_frames))  # (B, t, P + h*w, D)
        patches = (patches + attended[:, :, num_class_tokens:]).flatten(1, 2)  # (B, N, D)
        if not num_class_tokens:
            return patches
        return torch.cat([cls + attended[:, :, :num_class_tokens].mean(dim=1), patches], dim=1)


class DotProductBlock(AxesBlock):
    """Half of the heads read along time, the others within the frame: ViViT model 4.

    Has the weights of a plain block, and is one where there is a `context`.
    """

    def on_grid(self, tokens: Tensor, grid: Grid, mask: Tensor | None) -> Tensor:
        """Refine: tokens (B, N, D) on `grid`, without class token -> (B, N, D)."""
        mask = None if mask is None else frame_mask(mask, grid)
        attended = attend_along_axes(self.attn, self.norm1(tokens), grid, mask)
        return self.feed_forward(tokens + self.drop_path(self.scale1(attended)))


def frame_mask(mask: Tensor, grid: Grid) -> Tensor:
    """Cut what masks the keys of a clip by frames: (B, 1, 1, P + N) -> (B*t, 1, 1, P + h*w)."""
    cls, patches = split_class_token(mask[:, 0].mT, grid)  # (B, P, 1), (B, N, 1)
    cls = cls[:, None].expand(-1, grid.t, -1, -1)  # (B, t, P, 1)
    frames = torch.cat([cls, patches.unflatten(1, (grid.t, -1))], dim=2)
    return frames.flatten(0, 1).mT[:, None]
