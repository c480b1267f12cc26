"""Networks that see every frame alone, and then every place through time: VideoPrism.

Legend: B clips, (t, h, w) grid, n tokens of a frame, N = t*n tokens, D width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.positions import resize_positions
from stvit_video.models.network.frame_transformer import FrameTransformer
from stvit_video.models.network.recompute import runnable
from stvit_video.models.network.video_model import VideoModel, initialise
from stvit_video.settings.grammar import SemanticConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet


class PlaceEncoder(nn.Module):
    """Blocks over the frames of every place."""

    def __init__(
        self, dim: int, *, blocks: Sequence[nn.Module], num_frames: int, norm_eps: float
    ) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.pos_embed = nn.Parameter(torch.empty(1, num_frames, dim))
        self.blocks = nn.ModuleList(blocks)
        self.grad_checkpointing = False
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(initialise)

    def forward(self, tokens: Tensor, num_frames: int) -> Tensor:
        """Read every place: (B, N, D), t frames one behind the other -> (B, N, D)."""
        places = self.norm(tokens).unflatten(1, (num_frames, -1)).transpose(1, 2)  # (B, n, t, D)
        series = places.flatten(0, 1)
        native, grid = Grid(self.num_frames, 1, 1), Grid(num_frames, 1, 1)
        series = series + resize_positions(self.pos_embed, native, grid)
        for block in runnable(self.blocks, recompute=self.grad_checkpointing):
            series = block(series)  # (B*n, t, D)
        return series.unflatten(0, (tokens.shape[0], -1)).transpose(1, 2).flatten(1, 2)


class PlaceTransformer(FrameTransformer):
    """Runs all stages on every frame alone, then blocks along time, place by place.

    A place is a patch, or the semantic token of the same window in every frame.
    """

    def __init__(self, *, temporal: PlaceEncoder, **network: Any) -> None:
        super().__init__(**network)
        self.temporal = temporal

    def run_stages(self, state: TokenSet) -> TokenSet:
        """Run all stages: tokens (B, N, D) on their grid -> the same on the last grid."""
        state = super().run_stages(state)
        return state._replace(tokens=self.temporal(state.tokens, state.grid.t))

    def pool_tokens(self, state: TokenSet) -> Tensor:
        """Read the tokens of all frames at once: (B, N, D) -> (B, D)."""
        return VideoModel.pool_tokens(self, state)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say which layer a parameter belongs to; blocks along time follow those in frames."""
        temporal = [
            (r"^temporal\.(?:norm|pos_embed)", (0,)),
            (r"^temporal\.blocks\.(\d+)\.", None),
        ]
        return {**super().group_matcher(coarse), "temporal": temporal}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of each block in training, and compute the rest again."""
        super().set_grad_checkpointing(enable)
        self.temporal.grad_checkpointing = enable


def check_places(settings: Sequence[SemanticConfig]) -> None:
    """Refuse clusters that are others in every frame, where blocks along time follow.

    Raises:
        ConfigError: a setting has far centres and does not recover the patches.
    """
    for setting in settings:
        if setting.centers == "far" and setting.until is None:
            raise ConfigError(
                f"semantic setting {setting} makes other clusters in every frame, but this model"
                " reads every place through time; recover the patches, or write centers=grid"
            )
