"""Key names of V-JEPA 2: HF transformers, the original encoders, and the original probes.

Legend: D width.
"""

from typing import Any

import torch

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    join_qkv,
    refuse,
    rename_keys,
    set_aside,
)

_PREFIXES = ("module.", "model.", "backbone.", "vjepa2.")
_RULES = (
    (r"encoder\.embeddings\.patch_embeddings\.proj\.", "embed.patch.proj."),
    (r"encoder\.layer\.(\d+)\.attention\.(q|k|v)(?:uery|ey|alue)\.", r"blocks.\1.attn.\2."),
    (r"encoder\.layer\.(\d+)\.attention\.proj\.", r"blocks.\1.attn.proj."),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"encoder\.layernorm\.", "norm."),
    (r"pooler\.self_attention_layers\.(\d+)\.layer_norm(\d)\.", r"pooler.blocks.\1.norm\2."),
    (
        r"pooler\.self_attention_layers\.(\d+)\.self_attn\.(q|k|v)_proj\.",
        r"pooler.blocks.\1.attn.\2.",
    ),
    (
        r"pooler\.self_attention_layers\.(\d+)\.self_attn\.out_proj\.",
        r"pooler.blocks.\1.attn.proj.",
    ),
    (r"pooler\.self_attention_layers\.(\d+)\.", r"pooler.blocks.\1."),
    (r"pooler\.cross_attention_layer\.layer_norm(\d)\.", r"pooler.cross.norm\1."),
    (r"pooler\.cross_attention_layer\.cross_attn\.(q|k|v)_proj\.", r"pooler.cross.\1."),
    (r"pooler\.cross_attention_layer\.", "pooler.cross."),
    (r"pooler\.cross_attention_block\.xattn\.", "pooler.cross."),
    (r"pooler\.cross_attention_block\.", "pooler.cross."),
    (r"(?:classifier|linear)\.", "head."),
    *BLOCK_RULES,
)
_UNUSED = r"predictor\.|embed\.pos_embed$|mask_tokens?\b"


def facts(weights: Weights) -> dict[str, Any]:
    """Say what the keys state: the norms of original probes keep torch's eps."""
    is_original = any("cross_attention_block." in key for key in weights)
    return {"pooler_norm_eps": 1e-5} if is_original else {}


def rename(weights: Weights) -> Weights:
    """Give V-JEPA 2 weights our names; the predictor is set aside, positions are no table.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = join_qkv(set_aside(rename_keys(weights, _RULES, _PREFIXES), _UNUSED))
    refuse(
        renamed,
        "V-JEPA 2",
        needed=("embed.patch.proj.weight", "blocks.0.attn.qkv.weight", "norm.weight"),
        foreign=(r"temporal", r"time_embed", r"^embed\.(?!patch\.)", r"gamma_[12]$", r"mod_embed$"),
    )
    if renamed["embed.patch.proj.weight"].ndim != 5:
        raise CheckpointError("no weights of V-JEPA 2: the patch embedding has no time axis")
    return _join_keys_and_values(renamed)


def _join_keys_and_values(weights: Weights) -> Weights:
    """Join `pooler.cross.{k,v}` (D, D) into `pooler.cross.kv` (2D, D), as the original has it."""
    for kind in ("weight", "bias"):
        if f"pooler.cross.k.{kind}" in weights:
            parts = [weights.pop(f"pooler.cross.{part}.{kind}") for part in "kv"]
            weights[f"pooler.cross.kv.{kind}"] = torch.cat(parts)
    return weights
