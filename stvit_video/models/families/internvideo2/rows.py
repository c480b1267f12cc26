"""InternVideo2 (arXiv 2403.15377): a ViT of one-frame tubelets that an attention pool reads."""

from dataclasses import dataclass
from functools import partial

from torch import nn

from stvit_video.models.families.internvideo2.weights import facts, rename
from stvit_video.models.families.vit.variant import VitVariant
from stvit_video.models.layers.blocks import Block
from stvit_video.models.layers.normed_attention import NormedAttention
from stvit_video.models.layers.readers import MeanReader
from stvit_video.models.variant import Variant
from stvit_video.settings.model import Preprocessing


@dataclass(frozen=True, kw_only=True)
class InternVideo2Variant(VitVariant):
    """Sizes of an InternVideo2; its pool reads the class token too, which semantic models keep."""

    needs_class_token = True

    reader_width: int = 768
    """Width of what the pool makes of a clip."""
    reader_heads: int = 16
    """Heads of the pool."""

    def _norm(self) -> nn.Module:
        return nn.Identity()  # the pool norms what it reads

    def _reader(self) -> MeanReader:
        return MeanReader(self.dim, num_features=self.reader_width, num_heads=self.reader_heads)

    def _block(self, drop_path: float) -> Block:
        block = super()._block(drop_path)
        block.norm1, block.norm2 = (nn.RMSNorm(self.dim, eps=self.norm_eps) for _ in range(2))
        block.attn = NormedAttention(self.dim, num_heads=self.num_heads, norm_eps=self.norm_eps)
        return block


_CLIP = Preprocessing(num_frames=8, frame_stride=32, image_size=224, sampling="segments")
"""32 frames are about one of the 8 segments of a video of Kinetics."""

_internvideo2 = partial(
    InternVideo2Variant,
    preprocessing=_CLIP,
    num_classes=400,
    tubelet_size=(1, 14, 14),
    pool="mean",
    layer_scale=1e-5,
    source="InternVideo2, arXiv 2403.15377",
    license="Apache-2.0",
    rename=rename,
    facts=partial(facts, usual=_CLIP),
)

VARIANTS: dict[str, Variant] = {
    "internvideo2_small_patch14_224": _internvideo2(dim=384, depth=12, num_heads=6),
    "internvideo2_base_patch14_224": _internvideo2(dim=768, depth=12, num_heads=12),
    "internvideo2_large_patch14_224": _internvideo2(dim=1024, depth=24, num_heads=16),
    "internvideo2_1b_patch14_224": _internvideo2(
        dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11
    ),
}
