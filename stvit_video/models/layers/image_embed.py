"""What image encoders begin with, frame by frame: patches, tokens ahead of them, where they sit.

Legend: B clips, C colours, T H W frames and pixels, P class tokens and registers of a frame,
(t, h, w) token grid, N = t*h*w patch tokens, D width.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stvit_video.models.layers.embed import PatchEmbed
from stvit_video.models.layers.positions import resize_positions
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.regions import unfold_frames
from stvit_video.tokens.token_set import TokenSet

PlaceIndex = Callable[[Tensor, int], Tensor]
"""Indices (L,) along an axis and its length L -> where they sit, (L,)."""


class ImageEmbed(nn.Module):
    """Patch embedding of every frame, each with its own copy of the tokens ahead of the patches.

    With a `table` frames share learned positions, with `place` attention is told where patches
    sit, with `norm_eps` the tokens are normed.
    """

    def __init__(
        self,
        dim: int,
        *,
        tubelet_size: tuple[int, int, int],
        native_size: tuple[int, int, int],
        num_class_tokens: int,
        table: bool,
        place: PlaceIndex | None = None,
        norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        self.patch = PatchEmbed(dim, tubelet_size=tubelet_size)
        self.native_grid = self.patch.grid(*native_size)
        self.place = place
        num_positions = num_class_tokens + self.native_grid.h * self.native_grid.w
        self.cls_token = _draw(num_class_tokens, dim) if num_class_tokens else None
        self.pos_embed = _draw(num_positions, dim) if table else None
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(dim, eps=norm_eps)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid, None, Tensor | None]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, t*P + N, D), grid, no sizes, places."""
        tokens, grid = self.patch(clip)  # (B, N, D)
        frame = grid._replace(t=1)
        frames = tokens.unflatten(1, (grid.t, -1)).flatten(0, 1)  # (B*t, h*w, D)
        if self.cls_token is not None:
            frames = torch.cat([self.cls_token.expand(frames.shape[0], -1, -1), frames], dim=1)
        if self.pos_embed is not None:
            native = self.native_grid._replace(t=1)
            frames = frames + resize_positions(self.pos_embed, native, frame)
        frames = self.norm(frames)
        tokens = unfold_frames(TokenSet(frames, frame), grid.t).tokens
        return tokens, grid, None, self._places(grid, tokens.device)

    def _places(self, grid: Grid, device: torch.device) -> Tensor | None:
        """Return where the patches sit, those of all frames alike: float32 (1, N, 3)."""
        if self.place is None:
            return None
        axes = [torch.zeros(grid.t, device=device)]
        for length in grid[1:]:
            index = torch.arange(length, device=device, dtype=torch.float32)
            axes.append(self.place(index, length))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)[None]


def place_in_turns(index: Tensor, length: int) -> Tensor:
    """Place the middles of patches between -1 and 1 turns, whatever their number (DINOv3)."""
    return 2 * math.pi * ((index + 0.5) / length * 2 - 1)


def place_on_side(index: Tensor, length: int, *, side: int) -> Tensor:
    """Count patches from 1; `length` of them are stretched to the `side` of the training (PE)."""
    return (index + 1) / length * side


def _draw(num_tokens: int, dim: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, num_tokens, dim), std=0.02))
