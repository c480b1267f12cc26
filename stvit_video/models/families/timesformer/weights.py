"""Key names of TimeSformer: the official `.pyth` files and HF transformers."""

import re
from typing import Any

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    has_key,
    join_qkv,
    refuse,
    rename_keys,
    set_aside,
)

_PREFIXES = ("module.", "model.", "timesformer.")
_BLOCK = r"encoder\.layer\.(\d+)\."
_RULES = (
    (_BLOCK + r"attention\.attention\.qkv\.", r"blocks.\1.attn.qkv."),
    (_BLOCK + r"temporal_attention\.attention\.qkv\.", r"blocks.\1.temporal_attn.qkv."),
    (_BLOCK + r"temporal_attention\.output\.dense\.", r"blocks.\1.temporal_attn.proj."),
    (_BLOCK + r"temporal_layernorm\.", r"blocks.\1.temporal_norm1."),
    (_BLOCK + r"temporal_dense\.", r"blocks.\1.temporal_fc."),
    (r"embeddings\.time_embeddings$", "embed.time_embed"),
    (r"time_embed$", "embed.time_embed"),
    *BLOCK_RULES,
    (r"layernorm\.", "norm."),
    (r"classifier\.", "head."),
)
_TRACE = re.compile(r"(?:module\.)*(?:model|timesformer)\.|.*temporal_|.*time_embed")


def facts(weights: Weights) -> dict[str, Any]:
    """Say what keys state: which attention there is, where they tell.

    Places in time without attention along it are those of joint attention; without either the
    weights may be space-only, or those of an image.
    """
    if has_key(weights, r"temporal_(?:attn|attention)\..*"):
        return {"attention": "divided"}
    return {"attention": "joint"} if has_key(weights, r"time_embed(?:dings)?") else {}


def rename(weights: Weights) -> Weights:
    """Give TimeSformer weights our names: divided, joint and space-only alike.

    Space-only weights have the keys of an image ViT; the prefix `model.` or `timesformer.` that
    their files have tells them apart.

    Raises:
        CheckpointError: they are of another family.
    """
    if not any(_TRACE.match(key) for key in weights):
        raise CheckpointError("no weights of TimeSformer: nothing in them attends over time")
    renamed = join_qkv(rename_keys(weights, _RULES, _PREFIXES))
    refuse(
        renamed,
        "TimeSformer",
        needed=(
            "embed.patch.proj.weight",
            "embed.cls_token",
            "embed.pos_embed",
            "blocks.0.attn.qkv.weight",
        ),
        foreign=(r"\.[qk]_norm\.", r"\.gamma_[12]$", r"\.ls1\.", r"relative_position", r"^patch_"),
    )
    if renamed["embed.patch.proj.weight"].ndim == 5:
        raise CheckpointError("no weights of TimeSformer: the patch embedding has a time axis")
    return set_aside(renamed, r"pooler\.")
