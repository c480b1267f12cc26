"""Key names of DINOv3: timm, HF transformers and the original code.

Legend: P class tokens and registers, D width, d width of one head.
"""

from typing import Any

import torch

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

_PREFIXES = ("module.", "model.", "backbone.")
_LAYER = r"layer\.(\d+)\."
_RULES = (
    (r"embeddings\.patch_embeddings\.", "embed.patch.proj."),
    (r"(?:reg_token|storage_tokens|embeddings\.register_tokens)$", "embed.registers"),
    (_LAYER + r"attention\.(q|k|v)_proj\.", r"blocks.\1.attn.\2."),
    (_LAYER + r"attention\.o_proj\.", r"blocks.\1.attn.proj."),
    (_LAYER + r"layer_scale([12])\.lambda1$", r"blocks.\1.scale\2.gamma"),
    (_LAYER + r"mlp\.gate_proj\.", r"blocks.\1.mlp.gate."),
    (_LAYER + r"mlp\.up_proj\.", r"blocks.\1.mlp.fc1."),
    (_LAYER + r"mlp\.down_proj\.", r"blocks.\1.mlp.fc2."),
    (_LAYER, r"blocks.\1."),
    (r"blocks\.(\d+)\.attn\.(q|k|v)_proj\.", r"blocks.\1.attn.\2."),
    (r"blocks\.(\d+)\.mlp\.(?:fc1_g|w1)\.", r"blocks.\1.mlp.gate."),
    (r"blocks\.(\d+)\.mlp\.(?:fc1_x|w2)\.", r"blocks.\1.mlp.fc1."),
    (r"blocks\.(\d+)\.mlp\.w3\.", r"blocks.\1.mlp.fc2."),
    *BLOCK_RULES,
)
_UNUSED = (
    r"head\.|attn_pool\.|local_cls_norm\.|rope(?:_embed)?\.periods$|.*mask_token$|.*\.bias_mask$"
)
_BASE = 100.0


def facts(weights: Weights) -> dict[str, Any]:
    """Say what keys and shapes state: class tokens with registers, scaled branches, gated MLPs.

    Raises:
        CheckpointError: the file holds rotary periods of another base.
    """
    for key, periods in weights.items():
        if key.endswith(("rope.periods", "rope_embed.periods")):
            num_pairs = len(periods)
            expected = _BASE ** (torch.arange(num_pairs) / num_pairs)
            if not torch.allclose(periods.float(), expected, rtol=0.01):
                raise CheckpointError(
                    f"no weights of DINOv3 as we have it: {key} ends with {float(periods[-1]):.4g},"
                    f" that of theta {_BASE:g} with {float(expected[-1]):.4g}"
                )
    names = r"cls_token|reg_token|storage_tokens|register_tokens"
    num_class_tokens = sum(
        value.shape[1] for key, value in weights.items() if has_key({key: value}, names)
    )
    has_scale = layer_scale_of(weights) or has_key(weights, r"layer_scale1\.lambda1")
    found: dict[str, Any] = {
        "num_class_tokens": num_class_tokens,
        "is_gated": has_key(weights, r"mlp\.(?:gate_proj|fc1_g|w1)\.weight"),
    }
    return found if has_scale else found | {"layer_scale": None}


def rename(weights: Weights) -> Weights:
    """Give DINOv3 weights our names; registers follow the class token in one parameter.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = rename_keys(weights, _RULES, _PREFIXES)
    renamed = join_qkv(set_aside(_mask_key_bias(renamed), _UNUSED))
    refuse(
        renamed,
        "DINOv3",
        needed=(
            *("embed.patch.proj.weight", "embed.cls_token"),
            *("blocks.0.attn.qkv.weight", "norm.weight"),
        ),
        foreign=(
            *(r"^embed\.pos_embed$", r"norm_pre\.", r"temporal", r"time_embed"),
            *(r"\.[qk]_norm\.", r"\.attn\.norm\.", r"\.mlp\.(?:w\d+|norm)\."),
        ),
    )
    if renamed["embed.patch.proj.weight"].ndim != 4:
        raise CheckpointError("no weights of DINOv3: the patch embedding has a time axis")
    registers = renamed.pop("embed.registers", None)
    if registers is not None:
        tokens = (renamed["embed.cls_token"], registers)
        renamed["embed.cls_token"] = torch.cat(tokens, dim=1)  # (1, P, D)
    return renamed


def _mask_key_bias(weights: Weights) -> Weights:
    """Let keys have no bias where the original code masks it: its values mean nothing."""
    masked = dict(weights)
    for key in [key for key in weights if key.endswith("attn.qkv.bias_mask")]:
        name = key.removesuffix("_mask")
        query, bias, value = weights[name].chunk(3)
        masked[name] = torch.cat([query, torch.zeros_like(bias), value])
    return masked
