"""VideoMAE, VideoMAE V2 and UMT: plain ViTs without class token, with fixed positions."""

from functools import partial

from stvit_video.models.families.videomae.export import export
from stvit_video.models.families.videomae.weights import facts, rename, umt_facts
from stvit_video.models.families.vit.variant import VitVariant
from stvit_video.models.variant import Variant
from stvit_video.settings.model import Preprocessing

_UMT_CLIP = Preprocessing(num_frames=8, frame_stride=32, image_size=224, sampling="segments")
"""32 frames are about one of the 8 segments of a video of Kinetics."""

_plain = partial(
    VitVariant,
    num_classes=400,
    tubelet_size=(2, 16, 16),
    class_token=False,
    positions="sinusoid",
    rename=rename,
)
_videomae = partial(
    _plain,
    preprocessing=Preprocessing(num_frames=16, frame_stride=4, image_size=224),
    source="VideoMAE, arXiv 2203.12602",
    license="CC-BY-NC-4.0",
    export=export,
    facts=facts,
)
_v2 = partial(_videomae, source="VideoMAE V2, arXiv 2303.16727")
_umt = partial(
    _plain,
    preprocessing=_UMT_CLIP,
    tubelet_size=(1, 16, 16),
    table_grid=(8, 14, 14),
    source="UMT, arXiv 2303.16058",
    license="MIT",
    facts=partial(umt_facts, usual=_UMT_CLIP),
)

VARIANTS: dict[str, Variant] = {
    "videomae_small_patch16_224": _videomae(dim=384, depth=12, num_heads=6),
    "videomae_base_patch16_224": _videomae(dim=768, depth=12, num_heads=12),
    "videomae_large_patch16_224": _videomae(dim=1024, depth=24, num_heads=16),
    "videomae_huge_patch16_224": _videomae(dim=1280, depth=32, num_heads=16),
    "videomae_v2_small_patch16_224": _v2(num_classes=710, dim=384, depth=12, num_heads=6),
    "videomae_v2_base_patch16_224": _v2(num_classes=710, dim=768, depth=12, num_heads=12),
    "videomae_v2_giant_patch14_224": _v2(
        dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11, tubelet_size=(2, 14, 14)
    ),
    "umt_base_patch16_224": _umt(dim=768, depth=12, num_heads=12),
    "umt_large_patch16_224": _umt(dim=1024, depth=24, num_heads=16),
}
