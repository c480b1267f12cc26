"""Key names of image ViTs: timm and original DeiT, HF ViT and DeiT.

Legend: P class tokens, N patch tokens, D width, K classes.
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

_PREFIXES = ("module.", "model.", "backbone.", "vit.", "deit.")
_RULES = (
    *BLOCK_RULES,
    (r"embeddings\.distillation_token$", "embed.dist_token"),
    (r"dist_token$", "embed.dist_token"),
    (r"layernorm\.", "norm."),
    (r"fc_norm\.", "norm."),
    (r"(?:cls_)?classifier\.", "head."),
    (r"distillation_classifier\.", "head_dist."),
)
_UNUSED = r"pooler\.|embeddings\.mask_token$|pre_logits\.|decoder\."


def facts(weights: Weights) -> dict[str, Any]:
    """Say what keys state: class tokens, which norm the head reads behind, scaled branches.

    Raises:
        CheckpointError: there are two norms ahead of the head.
    """
    found = layer_scale_of(weights)
    num_class_tokens = int(has_key(weights, "cls_token"))
    num_class_tokens += int(has_key(weights, "dist_token|distillation_token"))
    found |= {"class_token": num_class_tokens > 0, "num_class_tokens": max(num_class_tokens, 1)}
    is_pooled_first = has_key(weights, r"fc_norm\.weight")
    if is_pooled_first and has_key(weights, r"norm\.weight"):
        raise CheckpointError("no weights of an image ViT: they have a norm and an fc_norm")
    if is_pooled_first:
        found["pool"] = "mean"
    elif not num_class_tokens:
        found["pool"] = "mean_of_normed"
    return found


def rename(weights: Weights) -> Weights:
    """Give the weights of an image ViT our names.

    Raises:
        CheckpointError: they are of another family.
    """
    renamed = set_aside(join_qkv(rename_keys(weights, _RULES, _PREFIXES)), _UNUSED)
    refuse(
        renamed,
        "an image ViT",
        needed=("embed.patch.proj.weight", "embed.pos_embed", "blocks.0.attn.qkv.weight"),
        foreign=(
            r"temporal",
            r"time_embed",
            r"\.[qk]_norm\.",
            r"reg_token",
        ),
    )
    if renamed["embed.patch.proj.weight"].ndim == 5:
        raise CheckpointError("no weights of an image ViT: the patch embedding has a time axis")
    return _with_class_position(_join_distillation(renamed))


def _join_distillation(weights: Weights) -> Weights:
    """Make one of the two class tokens and of the two heads of a distilled DeiT.

    The head reads both tokens: the mean of both heads, or, where there is one head, the first.
    """
    token = weights.pop("embed.dist_token", None)
    if token is None:
        return weights
    weights["embed.cls_token"] = torch.cat([weights["embed.cls_token"], token], dim=1)
    head, other = weights.get("head.weight"), weights.pop("head_dist.weight", None)
    if head is not None and other is not None:
        weights["head.weight"] = torch.cat([head, other], dim=1) / 2  # (K, 2D)
        weights["head.bias"] = (weights["head.bias"] + weights.pop("head_dist.bias")) / 2
    elif head is not None:
        weights["head.weight"] = torch.cat([head, torch.zeros_like(head)], dim=1)
    return weights


def _with_class_position(weights: Weights) -> Weights:
    """Give the class token a position of zero where only patches have one: (1, N, D)."""
    positions = weights["embed.pos_embed"]
    side = round(positions.shape[1] ** 0.5)
    if "embed.cls_token" in weights and side * side == positions.shape[1]:
        zero = torch.zeros_like(positions[:, :1])
        weights["embed.pos_embed"] = torch.cat([zero, positions], dim=1)  # (1, P + N, D)
    return weights
