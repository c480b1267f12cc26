"""Key names of VideoPrism: HF transformers, the encoder alone and with its attention pool.

Legend: D width, W width of all heads of the pool, d width of one of them.
"""

from typing import Any

import torch
import torch.nn.functional as F

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.names import Weights, has_key, join_qkv, refuse, rename_keys

_PREFIXES = ("module.", "vision_model.")
_IN_FRAMES, _IN_TIME = r"spatial_layers\.(\d+)\.", r"temporal_layers\.(\d+)\."
_RULES = (
    (r"spatial_embeddings\.patch_embeddings\.projection\.", "embed.patch.proj."),
    (r"spatial_embeddings\.position_embeddings$", "embed.pos_embed"),
    (r"temporal_embeddings\.position_embeddings$", "temporal.pos_embed"),
    (r"layernorm1\.", "temporal.norm."),
    (r"layernorm2\.", "norm."),
    (r"head\.pooling_attention_query$", "reader.query"),
    (r"head\.(q|k|v)_proj\.", r"reader.\1."),
    (r"head\.o_proj\.", "reader.proj."),
    (r"head\.per_dim_scale$", "reader.scale"),
    (r"head_layernorm\.", "reader.norm."),
    (r"classifier\.", "head."),
    *(
        rule
        for layer, block in ((_IN_FRAMES, r"blocks.\1."), (_IN_TIME, r"temporal.blocks.\1."))
        for rule in (
            (layer + r"attention\.(q|k|v)_proj\.", block + r"attn.\2."),
            (layer + r"attention\.o_proj\.", block + "attn.proj."),
            (layer + r"layernorm_before\.", block + "norm1."),
            (layer + r"layernorm_after\.", block + "norm2."),
            (layer + r"mlp\.", block + "mlp."),
        )
    ),
)


def facts(weights: Weights) -> dict[str, Any]:
    """Say what keys state: whether the head reads behind an attention pool, and how wide it is."""
    for key, value in weights.items():
        if has_key({key: value}, r"head\.q_proj\.weight"):
            return {"reader_width": value.shape[0], "attentive_blocks": 0}
    return {}


def rename(weights: Weights) -> Weights:
    """Give VideoPrism weights our names; norms add 1 to their weights there, ours do not.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = join_qkv(rename_keys(weights, _RULES, _PREFIXES))
    refuse(
        renamed,
        "VideoPrism",
        needed=(
            *("embed.patch.proj.weight", "embed.pos_embed", "temporal.pos_embed"),
            *("blocks.0.attn.qkv.weight", "temporal.blocks.0.attn.qkv.weight", "norm.weight"),
        ),
        foreign=(r"text_model", r"auxiliary", r"cls_token"),
    )
    if renamed["embed.patch.proj.weight"].shape[2:3] != (1,):
        raise CheckpointError("no weights of VideoPrism: its patches are of one frame")
    for key in renamed:
        if key.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
            renamed[key] = renamed[key] + 1
    return _join_reader(renamed) if "reader.query" in renamed else renamed


def _join_reader(weights: Weights) -> Weights:
    """Join keys and values of the pool (W, D), and let its queries be scaled by their weights."""
    scale = F.softplus(weights.pop("reader.scale")) / torch.tensor(2.0).log()  # (d,), 1 at first
    for kind in ("weight", "bias"):
        query = weights[f"reader.q.{kind}"]
        factors = scale.repeat(len(query) // len(scale)).view(-1, *[1] * (query.ndim - 1))
        weights[f"reader.q.{kind}"] = query * factors
        parts = [weights.pop(f"reader.{part}.{kind}") for part in "kv"]
        weights[f"reader.kv.{kind}"] = torch.cat(parts)
    return weights
