"""Image encoders run frame by frame; an attentive probe reads the patch tokens of all frames.

The protocol of V-JEPA 2 (arXiv 2506.09985) for encoders that know no time.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from stvit_video.models.families.image_encoder import (
    dinov3_weights,
    pe_weights,
    siglip2_weights,
)
from stvit_video.models.families.vit.variant import VitVariant, native_size, refuse_reducer
from stvit_video.models.layers.blocks import Block
from stvit_video.models.layers.branch import GatedMlp
from stvit_video.models.layers.embed import VitEmbed
from stvit_video.models.layers.frame_rotary import FrameRotary
from stvit_video.models.layers.image_embed import (
    ImageEmbed,
    place_in_turns,
    place_on_side,
)
from stvit_video.models.network.frame_transformer import FrameEncoder, check_frame_scope
from stvit_video.models.network.stages import Run
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import BuildOptions, Variant
from stvit_video.models.weights.names import layer_scale_of
from stvit_video.settings.model import Preprocessing


@dataclass(frozen=True, kw_only=True)
class ImageEncoderVariant(VitVariant):
    """Sizes of an image encoder with learned positions.

    Semantic tokens are clustered frame by frame (scope `frame`). Class tokens and registers stay
    with them, as the weights were trained so, and none is read by the head.
    """

    needs_class_token = True

    @property
    def untrained_options(self) -> dict[str, str]:
        """Far centres of each frame."""
        return {"centers": "far", "scope": "frame"}

    def _network(self, options: BuildOptions, has_class_token: bool) -> Callable[..., VideoModel]:
        return FrameEncoder

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> VitEmbed:
        return self._image_embed(preprocessing, has_class_token)(table=True)

    def _image_embed(
        self, preprocessing: Preprocessing, has_class_token: bool
    ) -> Callable[..., ImageEmbed]:
        return partial(
            ImageEmbed,
            self.dim,
            tubelet_size=self.tubelet_size,
            native_size=native_size(preprocessing),
            num_class_tokens=self.num_class_tokens if has_class_token else 0,
        )

    def _plan(self, options: BuildOptions, embed: VitEmbed) -> list[Run]:
        refuse_reducer(options, "within frames")
        check_frame_scope(options.semantic, embed.native_grid)
        return super()._plan(options, embed)


@dataclass(frozen=True, kw_only=True)
class Dinov3Variant(ImageEncoderVariant):
    """Sizes of a DINOv3: rotary positions alone, a class token and registers."""

    rotary_base: float = 100.0
    is_gated: bool = False
    """Whether the MLPs are gated by SiLU."""

    def _block(self, drop_path: float) -> Block:
        block = super()._block(drop_path)
        if self.is_gated:
            block.mlp = GatedMlp(self.dim, int(self.dim * self.mlp_ratio))
        return block

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> VitEmbed:
        embed = self._image_embed(preprocessing, has_class_token)
        return embed(table=False, place=place_in_turns)

    def _rotary(self) -> FrameRotary:
        head_dim = self.dim // self.num_heads
        return FrameRotary(head_dim, self.rotary_base, axes=(1, 2), neighbours=False)


@dataclass(frozen=True, kw_only=True)
class PeVariant(ImageEncoderVariant):
    """Sizes of a PE: learned and rotary positions, a norm ahead of the blocks."""

    rotary_base: float = 10000.0
    rotary_side: int
    """Patches along a side of a picture; a grid of others is stretched to it."""

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> VitEmbed:
        embed = self._image_embed(preprocessing, has_class_token)
        place = partial(place_on_side, side=self.rotary_side)
        return embed(table=True, place=place, norm_eps=self.norm_eps)

    def _rotary(self) -> FrameRotary:
        head_dim = self.dim // self.num_heads
        return FrameRotary(head_dim, self.rotary_base, axes=(2, 1), neighbours=True)


_CLIP = Preprocessing(num_frames=16, frame_stride=4, image_size=256)
_HALVES = dataclasses.replace(_CLIP, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_HALVES_224 = dataclasses.replace(_HALVES, image_size=224)
_HALVES_336 = dataclasses.replace(_HALVES, image_size=336)
_HALVES_384 = dataclasses.replace(_HALVES, image_size=384)
_HALVES_448 = dataclasses.replace(_HALVES, image_size=448)

_siglip2 = partial(
    ImageEncoderVariant,
    preprocessing=_HALVES,
    num_classes=400,
    tubelet_size=(1, 16, 16),
    class_token=False,
    pool="mean_of_normed",
    activation=partial(nn.GELU, approximate="tanh"),
    attentive_blocks=4,
    source="SigLIP 2, arXiv 2502.14786",
    license="Apache-2.0",
    rename=siglip2_weights.rename,
    facts=layer_scale_of,
)
_dinov3 = partial(
    Dinov3Variant,
    preprocessing=_CLIP,
    num_classes=400,
    tubelet_size=(1, 16, 16),
    num_class_tokens=5,
    pool="mean_of_normed",
    norm_eps=1e-5,
    layer_scale=1e-5,
    attentive_blocks=4,
    source="DINOv3, arXiv 2508.10104",
    license="DINOv3 License",
    rename=dinov3_weights.rename,
    facts=dinov3_weights.facts,
)
_pe_core = partial(
    PeVariant,
    num_classes=400,
    pool="mean_of_normed",
    norm_eps=1e-5,
    attentive_blocks=4,
    source="Perception Encoder, arXiv 2504.13181",
    license="Apache-2.0",
    rename=pe_weights.rename,
    facts=pe_weights.facts,
)
VARIANTS: dict[str, Variant] = {
    "siglip2_base_patch16_224": _siglip2(
        dim=768, depth=12, num_heads=12, preprocessing=_HALVES_224
    ),
    "siglip2_base_patch16_256": _siglip2(dim=768, depth=12, num_heads=12),
    "siglip2_large_patch16_256": _siglip2(dim=1024, depth=24, num_heads=16),
    "siglip2_so400m_patch16_256": _siglip2(dim=1152, depth=27, num_heads=16, mlp_ratio=4304 / 1152),
    "dinov3_small_patch16_256": _dinov3(dim=384, depth=12, num_heads=6),
    "dinov3_base_patch16_256": _dinov3(dim=768, depth=12, num_heads=12),
    "dinov3_small_plus_patch16_256": _dinov3(dim=384, depth=12, num_heads=6, is_gated=True),
    "dinov3_large_patch16_256": _dinov3(dim=1024, depth=24, num_heads=16),
    "dinov3_huge_plus_patch16_256": _dinov3(dim=1280, depth=32, num_heads=20, is_gated=True),
    "dinov3_7b_patch16_256": _dinov3(
        dim=4096, depth=40, num_heads=32, is_gated=True, mlp_ratio=2.0
    ),
    "pe_core_tiny_patch16_384": _pe_core(
        dim=192,
        depth=12,
        num_heads=3,
        tubelet_size=(1, 16, 16),
        rotary_side=24,
        preprocessing=_HALVES_384,
    ),
    "pe_core_small_patch16_384": _pe_core(
        dim=384,
        depth=12,
        num_heads=6,
        tubelet_size=(1, 16, 16),
        rotary_side=24,
        preprocessing=_HALVES_384,
    ),
    "pe_core_gigantic_patch14_448": _pe_core(
        dim=1536,
        depth=50,
        num_heads=16,
        mlp_ratio=8960 / 1536,
        tubelet_size=(1, 14, 14),
        class_token=False,
        rotary_side=32,
        preprocessing=_HALVES_448,
    ),
    "pe_core_base_patch16_224": _pe_core(
        dim=768,
        depth=12,
        num_heads=12,
        tubelet_size=(1, 16, 16),
        rotary_side=14,
        preprocessing=_HALVES_224,
    ),
    "pe_core_large_patch14_336": _pe_core(
        dim=1024,
        depth=24,
        num_heads=16,
        tubelet_size=(1, 14, 14),
        rotary_side=24,
        preprocessing=_HALVES_336,
    ),
}
