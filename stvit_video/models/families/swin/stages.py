"""Stages of Swin: merging of patches, and clustering where attention is windowed.

Legend: B clips, (t, h, w) grid, N = t*h*w tokens, S semantic tokens, D width.
"""

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stvit_video.models.families.swin.block import PlacedLayer, SwinBlock
from stvit_video.models.network.stages import SemanticStage
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet


class PatchMerging(nn.Module):
    """Joins 2 x 2 neighbours of a frame into one token of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, eps=1e-5)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Merge: (B, N, D) -> (B, N/4, 2D) on the merged grid; odd sides are padded by zeros."""
        volume = tokens.unflatten(1, tuple(grid))  # (B, t, h, w, D)
        if grid.h % 2 or grid.w % 2:
            volume = F.pad(volume, (0, 0, 0, grid.w % 2, 0, grid.h % 2))
        merged = rearrange(volume, "b t (h y) (w x) d -> b (t h w) (x y d)", x=2, y=2)
        return self.reduction(self.norm(merged)), merged_grid(grid)


def merged_grid(grid: Grid) -> Grid:
    """Return the grid after a merging."""
    return Grid(grid.t, -(-grid.h // 2), -(-grid.w // 2))


class MergeStage(nn.Module):
    """Runs the merging that it is handed: the last block of a stage in the published networks."""

    def forward(self, state: TokenSet, blocks: Sequence[nn.Module]) -> TokenSet:
        """(B, N, D) -> (B, N/4, 2D)."""
        (merging,) = blocks
        return TokenSet(*merging(state.tokens, state.grid))


class WindowedSemanticStage(SemanticStage):
    """Tells the blocks that cluster and recover where queries and keys sit."""

    def layers(self, grid: Grid, blocks: Sequence[nn.Module]) -> Sequence[PlacedLayer]:
        """Return the layers of the generator, between the two grids of a region."""
        region, patches = self.generator.region_grids(grid)
        layers = super().layers(grid, blocks)
        return [PlacedLayer(cast(SwinBlock, layer), region, patches) for layer in layers]

    def recovery_layer(
        self, grid: Grid, semantic_grid: Grid, blocks: Sequence[nn.Module]
    ) -> PlacedLayer:
        """Return the layer of the recovery, between the patch and the semantic grid."""
        return PlacedLayer(cast(SwinBlock, blocks[-1]), grid, semantic_grid)
