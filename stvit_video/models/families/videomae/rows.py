"""VideoMAE: plain ViTs without class token, with fixed positions."""

from functools import partial

from stvit_video.models.families.videomae.export import export
from stvit_video.models.families.videomae.weights import facts, rename
from stvit_video.models.families.vit.variant import VitVariant
from stvit_video.models.variant import Variant
from stvit_video.settings.model import Preprocessing

_videomae = partial(
    VitVariant,
    preprocessing=Preprocessing(num_frames=16, frame_stride=4, image_size=224),
    num_classes=400,
    tubelet_size=(2, 16, 16),
    class_token=False,
    positions="sinusoid",
    source="VideoMAE, arXiv 2203.12602",
    license="CC-BY-NC-4.0",
    rename=rename,
    export=export,
    facts=facts,
)

VARIANTS: dict[str, Variant] = {
    "videomae_small_patch16_224": _videomae(dim=384, depth=12, num_heads=6),
    "videomae_base_patch16_224": _videomae(dim=768, depth=12, num_heads=12),
    "videomae_large_patch16_224": _videomae(dim=1024, depth=24, num_heads=16),
    "videomae_huge_patch16_224": _videomae(dim=1280, depth=32, num_heads=16),
}
