"""Networks whose blocks see one frame at a time: space-only, image encoders, and ViViT's model 2.

Legend: B clips, P class tokens of a frame (0 or 1), (t, h, w) grid, N = t*h*w tokens, S semantic
tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.attentive import AttentivePooler
from stvit_video.models.layers.positions import resize_positions
from stvit_video.models.network.recompute import runnable
from stvit_video.models.network.video_model import VideoModel, initialise
from stvit_video.settings.grammar import SemanticConfig
from stvit_video.tokens.grid import Grid, split_class_token
from stvit_video.tokens.semantic.regions import TimeRegions, fold_frames, unfold_frames
from stvit_video.tokens.token_set import TokenSet


class FrameTransformer(VideoModel):
    """Runs all stages on every frame alone, as on a clip of one frame, and averages the frames.

    A frame is one time step of the token grid. Every frame has its own class token, so clustering
    and recovery stay within the frame as the attention does.
    """

    can_read_layers = False

    def run_stages(self, state: TokenSet) -> TokenSet:
        """Run all stages: tokens (B, t*P + N, D) on their grid -> the same on the last grid."""
        return unfold_frames(super().run_stages(fold_frames(state)), state.grid.t)

    def assign_tokens(self, state: TokenSet) -> Tensor:
        """Say what semantic tokens read: embedded tokens (B, t*P + N, D) -> weights (B, S, N)."""
        weights = super().assign_tokens(fold_frames(state))  # (B*t, S/t, h*w)
        return TimeRegions(state.grid, state.grid.t).merge_weights(weights)

    def pool_tokens(self, state: TokenSet) -> Tensor:
        """Make one vector per clip: (B, t*P + N, D) -> (B, D)."""
        return self.norm(self.pool_frames(state).mean(dim=1))

    def pool_frames(self, state: TokenSet) -> Tensor:
        """Make one vector per frame: (B, t*P + N, D) -> (B, t, D)."""
        if self.pool == "class":
            return state.split()[0]
        return fold_frames(state).mean().unflatten(0, (-1, state.grid.t))


class FrameEncoder(FrameTransformer):
    """An image encoder run on every frame; what is read are the patch tokens of all frames.

    Class tokens and registers take part in the blocks and are left behind with them.
    """

    def run_stages(self, state: TokenSet) -> TokenSet:
        """Run all stages: tokens (B, t*P + N, D) on their grid -> (B, N, D) on the last grid."""
        state = super().run_stages(state)
        size = None if state.size is None else state.size[:, state.num_class_tokens :]
        return state._replace(tokens=state.split()[1], size=size)

    def pool_tokens(self, state: TokenSet) -> Tensor:
        """Average the normed tokens of all frames: (B, N, D) -> (B, D)."""
        return state._replace(tokens=self.norm(state.tokens)).mean()


class TemporalEncoder(nn.Module):
    """Blocks over the frames of a clip: the second encoder of ViViT model 2."""

    def __init__(
        self,
        dim: int,
        *,
        blocks: Sequence[nn.Module],
        num_frames: int,
        has_class_token: bool,
        norm: nn.Module,
    ) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim)) if has_class_token else None
        self.pos_embed = nn.Parameter(torch.empty(1, int(has_class_token) + num_frames, dim))
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.grad_checkpointing = False
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if self.cls_token is not None:
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.apply(initialise)

    def forward(self, frames: Tensor) -> Tensor:
        """Read the frames of every clip: (B, t, D) -> (B, D)."""
        grid = Grid(frames.shape[1], 1, 1)
        tokens = frames
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(frames.shape[0], -1, -1), frames], dim=1)
        tokens = tokens + resize_positions(self.pos_embed, Grid(self.num_frames, 1, 1), grid)
        for block in runnable(self.blocks, recompute=self.grad_checkpointing):
            tokens = block(tokens)  # (B, P + t, D)
        cls, patches = split_class_token(tokens, grid)
        return self.norm((patches if self.cls_token is None else cls).mean(dim=1))


class FactorisedEncoder(FrameTransformer):
    """Runs all stages on every frame alone, then a temporal encoder over what they give."""

    def __init__(self, *, temporal: TemporalEncoder, **network: Any) -> None:
        super().__init__(**network)
        self.temporal = temporal

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say which layer a parameter belongs to; blocks over frames follow those in frames."""
        temporal = [
            (r"^temporal\.(?:cls_token|pos_embed)", (0,)),
            (r"^temporal\.blocks\.(\d+)\.", None),
        ]
        return {**super().group_matcher(coarse), "temporal": temporal}

    def _new_pooler(self, num_blocks: int) -> AttentivePooler | None:
        if num_blocks:
            raise ConfigError(
                f"attentive_blocks ({num_blocks}) has no place in a model with a temporal encoder,"
                " which makes one vector a clip itself; leave it out"
            )
        return None

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of each block in training, and compute the rest again."""
        super().set_grad_checkpointing(enable)
        self.temporal.grad_checkpointing = enable

    def pool_tokens(self, state: TokenSet) -> Tensor:
        """Make one vector per clip: (B, t*P + N, D) -> (B, D)."""
        return self.temporal(self.norm(self.pool_frames(state)))


def check_frame_scope(settings: Sequence[SemanticConfig], grid: Grid) -> None:
    """Refuse to cluster over time where the attention sees one frame at a time.

    Raises:
        ConfigError: a setting has another scope than `frame`, or fewer time steps.
    """
    for setting in settings:
        fitting = replace(setting, grid=(grid.t, *setting.grid[1:]), scope="frame")
        if setting != fitting:
            raise ConfigError(
                f"semantic setting {setting} clusters over time, but this model sees each of its"
                f" {grid.t} time steps alone; write {fitting}"
            )
