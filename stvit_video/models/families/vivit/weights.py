"""Key names of ViViT model 1: HF transformers, before and since version 5."""

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    join_qkv,
    refuse,
    rename_keys,
    set_aside,
)

_PREFIXES = ("module.", "model.", "vivit.")
_RULES = (*BLOCK_RULES, (r"layernorm\.", "norm."), (r"classifier\.", "head."))


def rename(weights: Weights) -> Weights:
    """Give ViViT weights our names; a pooler, which no classifier uses, is set aside.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = join_qkv(rename_keys(weights, _RULES, _PREFIXES))
    refuse(
        renamed,
        "ViViT",
        needed=(
            "embed.patch.proj.weight",
            "embed.cls_token",
            "embed.pos_embed",
            "blocks.0.attn.qkv.weight",
        ),
        foreign=(r"temporal", r"time_embed", r"\.gamma_[12]$", r"\.ls1\."),
    )
    if renamed["embed.patch.proj.weight"].ndim != 5:
        raise CheckpointError("no weights of ViViT: the patch embedding has no time axis")
    return set_aside(renamed, r"pooler\.")
