"""Image ViTs and DeiTs (T = 1), and the model of the demo."""

from dataclasses import replace
from functools import partial

from stvit_video.models.families.vit.export import export
from stvit_video.models.families.vit.variant import VitVariant
from stvit_video.models.families.vit.weights import facts, rename
from stvit_video.models.variant import Variant
from stvit_video.settings.model import Preprocessing

_IMAGE = Preprocessing(num_frames=1, frame_stride=1, image_size=224)
_DEMO = Preprocessing(num_frames=8, frame_stride=1, image_size=64)

_deit = partial(
    VitVariant,
    preprocessing=_IMAGE,
    num_classes=1000,
    depth=12,
    tubelet_size=(1, 16, 16),
    source="DeiT, arXiv 2012.12877",
    license="Apache-2.0",
    rename=rename,
    export=export,
    facts=facts,
)
_vit = partial(
    VitVariant,
    preprocessing=replace(_IMAGE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    num_classes=1000,
    tubelet_size=(1, 16, 16),
    source="ViT (AugReg), arXiv 2106.10270",
    license="Apache-2.0",
    rename=rename,
    export=export,
    facts=facts,
)

VARIANTS: dict[str, Variant] = {
    "deit_tiny_patch16_224": _deit(dim=192, num_heads=3),
    "deit_small_patch16_224": _deit(dim=384, num_heads=6),
    "deit_base_patch16_224": _deit(dim=768, num_heads=12),
    "deit_tiny_distilled_patch16_224": _deit(dim=192, num_heads=3, num_class_tokens=2),
    "deit_small_distilled_patch16_224": _deit(dim=384, num_heads=6, num_class_tokens=2),
    "deit_base_distilled_patch16_224": _deit(dim=768, num_heads=12, num_class_tokens=2),
    "vit_tiny_patch16_224": _vit(dim=192, depth=12, num_heads=3),
    "vit_small_patch16_224": _vit(dim=384, depth=12, num_heads=6),
    "vit_base_patch16_224": _vit(dim=768, depth=12, num_heads=12),
    "vit_large_patch16_224": _vit(dim=1024, depth=24, num_heads=16),
    "demo_tiny": VitVariant(
        preprocessing=_DEMO,
        num_classes=8,
        dim=96,
        depth=6,
        num_heads=3,
        tubelet_size=(2, 8, 8),
        class_token=False,
        source="this project, for `stvit-video demo`",
        license="Apache-2.0",
    ),
}
