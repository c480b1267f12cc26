"""Key names of V-JEPA 2 and 2.1: HF transformers, original encoders, and original probes.

Legend: D width.
"""

import re
from typing import Any, cast

import torch
from torch import nn

from stvit_video.errors import CheckpointError
from stvit_video.models.key_report import KeyReport
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

_RULES_2_1 = (
    (r"patch_embed_img\.", "embed.patch_img."),
    (r"video_mod_embed$", "embed.offset"),
    (r"img_mod_embed$", "embed.offset_img"),
    (r"norms_block\.3\.", "norm."),
    *_RULES,
)
_UNUSED_2_1 = rf"{_UNUSED}|norms_block\.[0-2]\."


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
    foreign = (r"^embed\.(?!patch\.)", r"mod_embed$")
    return _check(renamed, "V-JEPA 2", needed=_NEEDED, foreign=foreign)


def rename_2_1(weights: Weights) -> Weights:
    """Give V-JEPA 2.1 weights our names; predictor and norms of inner blocks are set aside.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = join_qkv(set_aside(rename_keys(weights, _RULES_2_1, _PREFIXES), _UNUSED_2_1))
    foreign = (r"^embed\.(?!patch\.|patch_img\.|offset)",)
    return _check(renamed, "V-JEPA 2.1", needed=("embed.offset", *_NEEDED), foreign=foreign)


def fit_picture(weights: Weights, model: nn.Module, report: KeyReport) -> None:
    """Keep one of the two embeddings of V-JEPA 2.1: of videos, or of pictures for one frame."""
    pictures = {key: key.replace("_img", "") for key in weights if _PICTURE.match(key)}
    is_picture = cast(Any, model).preprocessing.num_frames == 1
    if not is_picture:
        for key in pictures:
            del weights[key]
        report.dropped.update(dict.fromkeys(pictures, "embeds single pictures"))
        return
    for key, name in pictures.items():
        weights[name] = weights.pop(key)
        report.changed[name] = "that of single pictures"


_PICTURE = re.compile(r"embed\.(?:patch|offset)_img\b")


def _check(
    weights: Weights, family: str, *, needed: tuple[str, ...], foreign: tuple[str, ...]
) -> Weights:
    """Refuse weights of another family, and join what the probe has apart."""
    refuse(weights, family, needed, (r"temporal", r"time_embed", r"gamma_[12]$", *foreign))
    if weights["embed.patch.proj.weight"].ndim != 5:
        raise CheckpointError(f"no weights of {family}: the patch embedding has no time axis")
    return _join_keys_and_values(weights)


_NEEDED = ("embed.patch.proj.weight", "blocks.0.attn.qkv.weight", "norm.weight")


def _join_keys_and_values(weights: Weights) -> Weights:
    """Join `pooler.cross.{k,v}` (D, D) into `pooler.cross.kv` (2D, D), as the original has it."""
    for kind in ("weight", "bias"):
        if f"pooler.cross.k.{kind}" in weights:
            parts = [weights.pop(f"pooler.cross.{part}.{kind}") for part in "kv"]
            weights[f"pooler.cross.kv.{kind}"] = torch.cat(parts)
    return weights
