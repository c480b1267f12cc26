"""The Swin network: the plain one with merging between its stages, and the pyramid they give.

Legend: B clips, C colours, T H W frames and pixels, (t, h, w) token grid, N = t*h*w, D width.
"""

from typing import Any

from torch import Tensor

from stvit_video.models.families.swin.stages import MergeStage, PatchMerging
from stvit_video.models.network.video_model import VideoModel
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet


class SwinTransformer(VideoModel):
    """Four stages of windowed attention; grids halve and widths double from one to the next."""

    can_read_layers = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Width D of each stage."""
        mergings = sum(isinstance(stage, MergeStage) for stage in self.stages)
        return tuple(self.dim // 2 ** (mergings - number) for number in range(mergings + 1))

    def forward_pyramid(self, clip: Tensor) -> list[Tensor]:
        """Describe every place at every scale: (B, C, T, H, W) -> four times (B, D, t, h, w).

        What each stage gives before it is merged; the last one is normed, as `forward_features`.
        """
        state = TokenSet(*self.embed(clip))
        levels = []
        for stage, numbers in zip(self.stages, self.block_ranges, strict=True):
            if isinstance(stage, MergeStage):
                levels.append(_volume(state.tokens, state.grid))
            state = stage(state, self.blocks_of(numbers))
        levels.append(_volume(self.norm(state.tokens), state.grid))
        return levels

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say which layer a parameter belongs to; a merging goes with the block that follows it."""
        groups = super().group_matcher(coarse)
        mergings = [n for n, block in enumerate(self.blocks) if isinstance(block, PatchMerging)]
        with_next = [(rf"^blocks\.{number}\.", (number + 1,)) for number in mergings]
        return {**groups, "blocks": [*with_next, *groups["blocks"]]}

    def forward_assignments(self, clip: Tensor) -> Tensor:
        """Show what semantic tokens read: clip (B, C, T, H, W) -> weights (B, S, t, h, w).

        The grid is that of stage 3, which clusters.

        Raises:
            ConfigError: the model has no semantic tokens.
        """
        state = TokenSet(*self.embed(clip))
        return self.assign_tokens(state).unflatten(2, stage_grid(state.grid, 2))

    def token_counts(self, clip_size: tuple[int, int, int] | None = None) -> dict[str, int | None]:
        """Count patch tokens, and semantic tokens, in stage 3, which clusters, of one clip.

        `clip_size` is (T, H, W); by default that of `preprocessing`.
        """
        size = self.preprocessing.image_size
        grid = self.embed.patch.grid(*(clip_size or (self.preprocessing.num_frames, size, size)))
        return self.count_on_grid(stage_grid(grid, 2))


def stage_grid(grid: Grid, number: int) -> Grid:
    """Return the grid of stage `number`, counted from 0, from the grid of the embedding."""
    step = 2**number
    return Grid(grid.t, -(-grid.h // step), -(-grid.w // step))


def _volume(tokens: Tensor, grid: Grid) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, tuple(grid))  # (B, D, t, h, w)
