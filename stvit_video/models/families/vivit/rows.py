"""ViViT (arXiv 2103.15691): joint attention (model 1) and its three factorisations (2 to 4)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from stvit_video.errors import ConfigError
from stvit_video.models.families.vit import weights as vit_weights
from stvit_video.models.families.vit.variant import (
    VitVariant,
    check_rows,
    drop_path_rates,
    native_size,
    refuse_reducer,
)
from stvit_video.models.families.vivit import weights as vivit_weights
from stvit_video.models.families.vivit.export import export
from stvit_video.models.layers.blocks import Block, DividedBlock, DotProductBlock
from stvit_video.models.layers.embed import FrameEmbed, VitEmbed
from stvit_video.models.network.frame_transformer import (
    FactorisedEncoder,
    TemporalEncoder,
    check_frame_scope,
)
from stvit_video.models.network.stages import Run
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import BuildOptions, Variant
from stvit_video.settings.model import Preprocessing


@dataclass(frozen=True, kw_only=True)
class FactorisedEncoderVariant(VitVariant):
    """Sizes of a ViViT with one encoder within every time step and one over time (model 2).

    Semantic tokens are those of the spatial encoder, clustered per time step (scope `frame`);
    `depth` and the blocks of a setting count its blocks only. Semantic models do without class
    tokens, in both encoders, unless they are asked for.
    """

    temporal_depth: int
    """Blocks of the temporal encoder."""

    @property
    def untrained_options(self) -> dict[str, str]:
        """Far centres of each frame."""
        return {"centers": "far", "scope": "frame"}

    def _network(self, options: BuildOptions, has_class_token: bool) -> Callable[..., VideoModel]:
        num_steps = options.preprocessing.num_frames // self.tubelet_size[0]
        temporal = TemporalEncoder(
            self.dim,
            blocks=[
                self._block(x) for x in drop_path_rates(options.drop_path, self.temporal_depth)
            ],
            num_frames=num_steps,
            has_class_token=has_class_token,
            norm=nn.LayerNorm(self.dim, eps=self.norm_eps),
        )
        return partial(FactorisedEncoder, temporal=temporal)

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> VitEmbed:
        return FrameEmbed(
            self.dim,
            tubelet_size=self.tubelet_size,
            native_size=native_size(preprocessing),
            has_class_token=has_class_token,
            per_frame=True,
            resizing="smooth",
        )

    def _plan(self, options: BuildOptions, embed: VitEmbed) -> list[Run]:
        refuse_reducer(options, "factorised in two encoders")
        check_frame_scope(options.semantic, embed.native_grid)
        return super()._plan(options, embed)


@dataclass(frozen=True, kw_only=True)
class FactorisedVariant(VitVariant):
    """Sizes of a ViViT that factorises its attention in every block, dense or semantic.

    `self_attention` (model 3) reads along time, then within the time step; `dot_product` (model 4)
    does both at once, each with half of the heads. Layers of the generator and the recovery are
    plain. Neither has a class token, and model 4 can have none.
    """

    attention: Literal["self_attention", "dot_product"]

    @property
    def untrained_options(self) -> dict[str, str]:
        """Far centres of places."""
        return {"centers": "far", "scope": "tube"}

    def _plan(self, options: BuildOptions, embed: VitEmbed) -> list[Run]:
        refuse_reducer(options, "factorised")
        check_rows(options, "factorised")
        if self.attention == "dot_product":
            if embed.cls_token is not None:
                raise ConfigError(
                    "class_token (True) has no place in factorised dot-product attention, where a"
                    " token reads its frame and its place only; leave it out"
                )
            if self.num_heads % 2:
                raise ConfigError(
                    f"num_heads ({self.num_heads}) must be even: one half reads along time"
                )
        return super()._plan(options, embed)

    def _axes_block(self, drop_path: float) -> Block:
        block: Callable[..., Block] = DotProductBlock
        if self.attention == "self_attention":
            block = partial(DividedBlock, has_temporal_fc=False)
        return block(
            self.dim,
            num_heads=self.num_heads,
            mlp_ratio=self.mlp_ratio,
            norm_eps=self.norm_eps,
            activation=self.activation,
            drop_path=drop_path,
        )


_CLIP = Preprocessing(
    num_frames=32, frame_stride=2, image_size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)

_joint = partial(
    VitVariant,
    preprocessing=_CLIP,
    num_classes=400,
    tubelet_size=(2, 16, 16),
    activation=partial(nn.GELU, approximate="tanh"),
    source="ViViT model 1, arXiv 2103.15691",
    license="Apache-2.0",
    rename=vivit_weights.rename,
    export=export,
    image_rename=vit_weights.rename,
)
_encoder = partial(
    FactorisedEncoderVariant,
    preprocessing=_CLIP,
    num_classes=400,
    tubelet_size=(2, 16, 16),
    activation=partial(nn.GELU, approximate="tanh"),
    source="ViViT model 2, arXiv 2103.15691",
    license="Apache-2.0",
    image_rename=vit_weights.rename,
)
_factorised = partial(
    FactorisedVariant,
    preprocessing=_CLIP,
    num_classes=400,
    tubelet_size=(2, 16, 16),
    class_token=False,
    activation=partial(nn.GELU, approximate="tanh"),
    license="Apache-2.0",
    image_rename=vit_weights.rename,
)
_self_attention = partial(
    _factorised, attention="self_attention", source="ViViT model 3, arXiv 2103.15691"
)
_dot_product = partial(
    _factorised, attention="dot_product", source="ViViT model 4, arXiv 2103.15691"
)

VARIANTS: dict[str, Variant] = {
    "vivit_base_patch16x2_224": _joint(dim=768, depth=12, num_heads=12),
    "vivit_large_patch16x2_224": _joint(dim=1024, depth=24, num_heads=16),
    "vivit_base_fe_patch16x2_224": _encoder(dim=768, depth=12, num_heads=12, temporal_depth=4),
    "vivit_base_fe_patch16x4_224": _encoder(
        dim=768, depth=12, num_heads=12, temporal_depth=4, tubelet_size=(4, 16, 16)
    ),
    "vivit_large_fe_patch16x2_224": _encoder(dim=1024, depth=24, num_heads=16, temporal_depth=24),
    "vivit_base_fsa_patch16x2_224": _self_attention(dim=768, depth=12, num_heads=12),
    "vivit_large_fsa_patch16x2_224": _self_attention(dim=1024, depth=24, num_heads=16),
    "vivit_base_fdp_patch16x2_224": _dot_product(dim=768, depth=12, num_heads=12),
    "vivit_large_fdp_patch16x2_224": _dot_product(dim=1024, depth=24, num_heads=16),
}
