"""V-JEPA 2 and 2.1: plain ViTs with rotary positions, read by an attentive probe."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from stvit_video.models.families.vit.variant import VitVariant, native_size
from stvit_video.models.families.vjepa2.export import export
from stvit_video.models.families.vjepa2.weights import facts, fit_picture, rename, rename_2_1
from stvit_video.models.layers.embed import OffsetEmbed, PlacedEmbed
from stvit_video.models.layers.rotary import Rotary
from stvit_video.models.variant import Variant
from stvit_video.settings.model import Preprocessing


@dataclass(frozen=True, kw_only=True)
class Vjepa2Variant(VitVariant):
    """Sizes of a ViT whose attention reads where its tokens sit; semantic ones sit in between."""

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> PlacedEmbed:
        return PlacedEmbed(
            self.dim, tubelet_size=self.tubelet_size, native_size=native_size(preprocessing)
        )

    def _rotary(self) -> Rotary:
        return Rotary(self.dim // self.num_heads)


@dataclass(frozen=True, kw_only=True)
class Vjepa21Variant(VitVariant):
    """Sizes of V-JEPA 2.1; a model of one frame has the embedding of its pictures."""

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> OffsetEmbed:
        frames, height, width = self.tubelet_size
        frames = min(frames, preprocessing.num_frames)
        return OffsetEmbed(
            self.dim, tubelet_size=(frames, height, width), native_size=native_size(preprocessing)
        )

    def _rotary(self) -> Rotary:
        return Rotary(self.dim // self.num_heads, is_tiled=False)


_PROBED: dict[str, Any] = {
    "num_classes": 174,
    "tubelet_size": (2, 16, 16),
    "class_token": False,
    "pool": "mean_of_normed",
    "attentive_blocks": 4,
    "license": "MIT",
    "facts": facts,
}
_vjepa2 = partial(
    Vjepa2Variant,
    source="V-JEPA 2, arXiv 2506.09985",
    rename=rename,
    export=export,
    **_PROBED,
)
_vjepa2_1 = partial(
    Vjepa21Variant,
    source="V-JEPA 2.1, arXiv 2603.14482",
    rename=rename_2_1,
    fit=fit_picture,
    **_PROBED,
)
_16_FRAMES = Preprocessing(num_frames=16, frame_stride=4, image_size=256, short_side=292 / 256)
_64_FRAMES = Preprocessing(num_frames=64, frame_stride=2, image_size=384, short_side=438 / 384)

VARIANTS: dict[str, Variant] = {
    "vjepa2_large_patch16_256": _vjepa2(dim=1024, depth=24, num_heads=16, preprocessing=_16_FRAMES),
    "vjepa2_huge_patch16_256": _vjepa2(dim=1280, depth=32, num_heads=16, preprocessing=_16_FRAMES),
    "vjepa2_giant_patch16_256": _vjepa2(
        dim=1408, depth=40, num_heads=22, mlp_ratio=48 / 11, preprocessing=_16_FRAMES
    ),
    "vjepa2_giant_patch16_384": _vjepa2(
        dim=1408, depth=40, num_heads=22, mlp_ratio=48 / 11, preprocessing=_64_FRAMES
    ),
    "vjepa2_1_base_patch16_384": _vjepa2_1(
        dim=768, depth=12, num_heads=12, preprocessing=_64_FRAMES
    ),
    "vjepa2_1_large_patch16_384": _vjepa2_1(
        dim=1024, depth=24, num_heads=16, preprocessing=_64_FRAMES
    ),
    "vjepa2_1_giant_patch16_384": _vjepa2_1(
        dim=1408, depth=40, num_heads=22, mlp_ratio=48 / 11, preprocessing=_64_FRAMES
    ),
    "vjepa2_1_gigantic_patch16_384": _vjepa2_1(
        dim=1664, depth=48, num_heads=26, mlp_ratio=64 / 13, preprocessing=_64_FRAMES
    ),
}
