"""Key names of SigLIP and SigLIP 2: timm, and the image half of HF transformers.

Legend: N patch tokens, D width.
"""

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    join_qkv,
    refuse,
    rename_keys,
    set_aside,
)

_PREFIXES = ("module.", "model.", "backbone.", "vision_model.", "visual.", "trunk.")
_LAYER = r"encoder\.layers\.(\d+)\."
_RULES = (
    (r"embeddings\.patch_embedding\.", "embed.patch.proj."),
    (r"embeddings\.position_embedding\.weight$", "embed.pos_embed"),
    (_LAYER + r"layer_norm([12])\.", r"blocks.\1.norm\2."),
    (_LAYER + r"self_attn\.(q|k|v)_proj\.", r"blocks.\1.attn.\2."),
    (_LAYER + r"self_attn\.out_proj\.", r"blocks.\1.attn.proj."),
    (_LAYER, r"blocks.\1."),
    (r"post_layernorm\.", "norm."),
    *BLOCK_RULES,
)
_UNUSED = r"attn_pool\.|head\.|text_model\.|text\.|classifier\.|logit_(?:scale|bias)$"


def rename(weights: Weights) -> Weights:
    """Give the weights of a SigLIP image encoder our names.

    The head of a picture (a map head, and a classifier behind it) and the text half are set aside.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = join_qkv(set_aside(rename_keys(weights, _RULES, _PREFIXES), _UNUSED))
    refuse(
        renamed,
        "SigLIP 2",
        needed=(
            *("embed.patch.proj.weight", "embed.pos_embed"),
            *("blocks.0.attn.qkv.weight", "norm.weight"),
        ),
        foreign=(r"cls_token$", r"reg_token$", r"temporal", r"time_embed", r"\.[qk]_norm\."),
    )
    if renamed["embed.patch.proj.weight"].ndim != 4:
        raise CheckpointError("no weights of SigLIP 2: the patch embedding is no convolution")
    if renamed["embed.pos_embed"].ndim == 2:
        renamed["embed.pos_embed"] = renamed["embed.pos_embed"][None]  # (1, N, D)
    return renamed
