"""Key names of PE-core (Perception Encoder): timm.

Legend: D width.
"""

from typing import Any

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    has_key,
    join_qkv,
    layer_scale_of,
    refuse,
    rename_keys,
    set_aside,
)

_PREFIXES = ("module.", "model.", "backbone.", "visual.", "trunk.")
_RULES = (
    (r"norm_pre\.", "embed.norm."),
    (r"blocks\.(\d+)\.attn\.(q|k|v)_proj\.", r"blocks.\1.attn.\2."),
    *BLOCK_RULES,
)
_UNUSED = r"head\.|attn_pool\.|text\.|logit_scale$"


def facts(weights: Weights) -> dict[str, Any]:
    """Say what keys state: whether branches are scaled, and whether there is a class token."""
    return layer_scale_of(weights) | {"class_token": has_key(weights, "cls_token")}


def rename(weights: Weights) -> Weights:
    """Give PE weights our names; the head of a picture is set aside, patches have no bias.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = join_qkv(set_aside(rename_keys(weights, _RULES, _PREFIXES), _UNUSED))
    refuse(
        renamed,
        "PE-core",
        needed=(
            *("embed.patch.proj.weight", "embed.pos_embed", "embed.norm.weight"),
            *("blocks.0.attn.qkv.weight", "norm.weight"),
        ),
        foreign=(
            *(r"reg_token$", r"temporal", r"time_embed", r"\.[qk]_norm\.", r"\.attn\.norm\."),
            r"\.mlp\.(?:gate_proj|w\d+|fc1_[gx]|norm)\.",
        ),
    )
    patches = renamed["embed.patch.proj.weight"]
    if patches.ndim != 4:
        raise CheckpointError("no weights of PE-core: the patch embedding has a time axis")
    renamed.setdefault("embed.patch.proj.bias", patches.new_zeros(len(patches)))
    return renamed
