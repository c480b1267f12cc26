"""What a row of a plain ViT says: joint attention over all space-time tokens.

What other ViTs change (embedding, blocks, network) are the methods of `VitVariant`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.blocks import Block
from stvit_video.models.layers.embed import ClipEmbed, Positions, VitEmbed
from stvit_video.models.layers.readers import Reader
from stvit_video.models.layers.rotary import Turn
from stvit_video.models.network.reduction import RunLengthTransformer, plan_reduction
from stvit_video.models.network.stages import Run, crossing_blocks, plan_stages
from stvit_video.models.network.video_model import Pool, VideoModel
from stvit_video.models.variant import BuildOptions, Variant
from stvit_video.settings.model import Preprocessing
from stvit_video.tokens.reducers.table import rlt_threshold


@dataclass(frozen=True, kw_only=True)
class VitVariant(Variant):
    """Sizes of a plain ViT."""

    needs_class_token: ClassVar[bool] = False
    """Whether semantic models keep a class token that the weights have, where nothing is asked."""

    dim: int
    depth: int
    num_heads: int
    tubelet_size: tuple[int, int, int]
    mlp_ratio: float = 4.0
    class_token: bool = True
    num_class_tokens: int = 1
    """How many there are, where there are any: the head of a distilled DeiT reads two."""
    positions: Positions = "learned"
    table_grid: tuple[int, int, int] | None = None
    """Token grid (t, h, w) of a fixed table, which is resized to others; None computes it anew."""
    norm_eps: float = 1e-6
    head_norm_eps: float | None = None
    """Of the norm ahead of the head; None for that of the blocks."""
    pool: Pool | None = None
    """What the head reads; None for the class token where there is one."""
    activation: Callable[..., nn.Module] = nn.GELU
    layer_scale: float | None = None
    """What the factors of a branch begin with; None for branches without."""

    @property
    def untrained_options(self) -> dict[str, str]:
        """Far centres, measured in docs/results/training_free.md."""
        return {"centers": "far"}

    def build(self, options: BuildOptions) -> VideoModel:
        """Build the network; semantic models do without class token, as in the paper."""
        has_class_token = options.class_token
        if has_class_token is None:
            has_class_token = self.class_token and (self.needs_class_token or not options.semantic)
        embed = self._embed(options.preprocessing, has_class_token)
        pool = self.pool or ("class" if has_class_token else "mean")
        num_features = self.dim * (self.num_class_tokens if pool == "class" else 1)
        reader = None if options.attentive_blocks else self._reader()
        if reader is not None:
            num_features = reader.num_features
        classes = options.num_classes
        return self._network(options, has_class_token)(
            embed=embed,
            blocks=self._blocks(options),
            runs=self._plan(options, embed),
            norm=self._norm(),
            head=nn.Linear(num_features, classes) if classes else nn.Identity(),
            pool=pool,
            preprocessing=options.preprocessing,
            reader=reader,
        )

    def _norm(self) -> nn.Module:
        """Make the norm behind the blocks."""
        return nn.LayerNorm(self.dim, eps=self.head_norm_eps or self.norm_eps)

    def _reader(self) -> Reader | None:
        """Make what pools the tokens where the row has a way of its own."""
        return None

    def _network(self, options: BuildOptions, has_class_token: bool) -> Callable[..., VideoModel]:
        if options.reducer is not None and options.reducer.name == "rlt":
            return partial(RunLengthTransformer, threshold=rlt_threshold(options.reducer))
        return VideoModel

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> VitEmbed:
        return ClipEmbed(
            self.dim,
            tubelet_size=self.tubelet_size,
            native_size=native_size(preprocessing),
            has_class_token=has_class_token,
            positions=self.positions,
            num_class_tokens=self.num_class_tokens,
            table_grid=self.table_grid,
        )

    def _plan(self, options: BuildOptions, embed: VitEmbed) -> list[Run]:
        grid = embed.native_grid
        num_class_tokens = 0 if embed.cls_token is None else embed.cls_token.shape[1]
        if options.reducer is None or options.reducer.name == "rlt":
            return plan_stages(options.semantic, depth=self.depth, dim=self.dim, grid=grid)
        return plan_reduction(
            options.reducer, depth=self.depth, grid=grid, num_class_tokens=num_class_tokens
        )

    def _blocks(self, options: BuildOptions) -> list[Block]:
        crossing = crossing_blocks(options.semantic)
        return [
            self._block(rate) if i in crossing else self._axes_block(rate)
            for i, rate in enumerate(drop_path_rates(options.drop_path, self.depth))
        ]

    def _axes_block(self, drop_path: float) -> Block:
        """Make a block for tokens on their grid; here it is plain, others factorise it."""
        return self._block(drop_path)

    def _block(self, drop_path: float) -> Block:
        return Block(
            self.dim,
            num_heads=self.num_heads,
            mlp_ratio=self.mlp_ratio,
            norm_eps=self.norm_eps,
            activation=self.activation,
            drop_path=drop_path,
            layer_scale=self.layer_scale,
            rotary=self._rotary(),
        )

    def _rotary(self) -> Turn | None:
        """Return what makes the attention depend on places; positions are added to tokens here."""
        return None


def native_size(preprocessing: Preprocessing) -> tuple[int, int, int]:
    """Return (T, H, W) of a clip in frames and pixels."""
    return preprocessing.num_frames, preprocessing.image_size, preprocessing.image_size


def refuse_reducer(options: BuildOptions, attention: str) -> None:
    """Refuse a reducer, which needs attention over all tokens at once.

    Raises:
        ConfigError: the options ask for one.
    """
    if options.reducer is not None:
        raise ConfigError(
            f"reduction ({options.reducer.name}) needs joint attention, but this model's"
            f" attention is {attention}; choose a plain ViT"
        )


def check_rows(options: BuildOptions, attention: str) -> None:
    """Refuse far centres of whole clips where attention reads along time, place by place.

    Raises:
        ConfigError: a setting has them.
    """
    for setting in options.semantic:
        if setting.centers == "far" and setting.scope == "clip":
            raise ConfigError(
                f"semantic setting {setting} leaves no time steps, but this model's attention is"
                f" {attention}; write TxHxW@BLOCK,centers=far,scope=tube"
            )


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Stochastic depth of every block, from 0 to `last` in equal steps."""
    return torch.linspace(0, last, depth, device="cpu").tolist()
