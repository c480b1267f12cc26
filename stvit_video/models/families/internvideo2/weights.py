"""Key names of InternVideo2's original code: fine-tuned, distilled, and encoders of stage 2.

Legend: N patch tokens, (t, n) frames and patches of one, D width.
"""

from typing import Any

import torch

from stvit_video.models.weights.names import (
    BLOCK_RULES,
    Weights,
    clip_of_places,
    has_key,
    refuse,
    rename_keys,
    set_aside,
)
from stvit_video.settings.model import Preprocessing

_PREFIXES = ("module.", "model.", "vision_encoder.")
_RULES = (
    (r"clip_projector\.norm1_(q|k|v)\.", r"reader.norm_\1."),
    (r"clip_projector\.cross_attn\.(q|k|v)(?:\.|_(?=bias))", r"reader.\1."),
    (r"clip_projector\.cross_attn\.proj\.", "reader.proj."),
    (r"fc_norm\.", "reader.norm."),
    *BLOCK_RULES,
)
_UNUSED = (
    r"(?:(?:final_)?clip_|mae_)decoder\.|(?:mae|clip|img|clip_img)_pos_embed"
    r"|(?:text_encoder|vision_proj|text_proj|itm_head)\.|temp$"
)
_IMAGE_SIZES = (224, 336)
"""Pixels of the clips that it was fine-tuned on."""


def facts(weights: Weights, usual: Preprocessing) -> dict[str, Any]:
    """Say what keys and shapes state: the clips of the positions, width of the pool, scales.

    Raises:
        CheckpointError: the positions are of no size that was published.
    """
    renamed = rename(weights)
    places = renamed["embed.pos_embed"].shape[1] - 1
    clip = clip_of_places(places, usual, "InternVideo2", patch_size=14, image_sizes=_IMAGE_SIZES)
    return {
        "preprocessing": clip,
        "reader_width": renamed["reader.proj.weight"].shape[0],
        "layer_scale": 1.0 if has_key(renamed, r"scale1\.gamma") else None,
    }


def rename(weights: Weights) -> Weights:
    """Give InternVideo2 weights our names; decoders and the encoder of texts are set aside.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = _join_positions(set_aside(rename_keys(weights, _RULES, _PREFIXES), _UNUSED))
    refuse(
        renamed,
        "InternVideo2",
        needed=(
            *("embed.patch.proj.weight", "embed.cls_token", "embed.pos_embed"),
            *("blocks.0.attn.qkv.weight", "blocks.0.attn.q_norm.weight", "reader.q.weight"),
        ),
        foreign=(r"extra_mlp\.", r"down(?:_norm)?\."),
    )
    return renamed


def _join_positions(weights: Weights) -> Weights:
    """Join positions of place (1, n, D), time (1, t, D) and class token into (1, 1 + t*n, D)."""
    parts = [weights.get(f"pos_embed_{part}") for part in ("cls", "temporal", "spatial")]
    if any(part is None for part in parts):
        return weights
    cls, times, places = (part for part in parts if part is not None)
    joined = (times[:, :, None] + places[:, None]).flatten(1, 2)
    kept = {key: value for key, value in weights.items() if not key.startswith("pos_embed_")}
    return kept | {"embed.pos_embed": torch.cat([cls, joined], dim=1)}
