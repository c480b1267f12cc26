"""Image ViTs and DeiTs in the words of HF transformers.

Legend: D width, K classes.
"""

from collections.abc import Sequence
from typing import Any

from stvit_video.models.exported import Exported
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.weights.export import (
    KEEP,
    SINCE_5,
    Unsaid,
    as_convolution,
    block_rules,
    class_token,
    config_of,
    eps_notes,
    no_attentive_pooler,
    processor_of,
    recipe_of,
    refuse_unsaid,
    rename_all,
    split_qkv,
    start_pooler,
    state_of,
)
from stvit_video.models.weights.names import Weights


def export(model: VideoModel) -> Exported:
    """Say an image ViT, with its head or without; two class tokens are those of a DeiT.

    Raises:
        CheckpointError: it reads several frames, has no class token, or what `refuse_unsaid` names.
    """
    row: Any = recipe_of(model).variant
    is_deit = row.num_class_tokens == 2
    architecture, base = ("DeiTModel", "deit.") if is_deit else ("ViTModel", "vit.")
    if model.num_classes:
        kind = "ForImageClassification" + ("WithTeacher" if is_deit else "")
        architecture = architecture.replace("Model", kind)
    num_frames = model.preprocessing.num_frames
    several = (num_frames > 1, f"num_frames ({num_frames})", KEEP)
    weights, more, notes = token_vit(model, architecture, base, row.tubelet_size[1:], (several,))
    config = {
        **config_of(model, architecture, base.rstrip(".")),
        "patch_size": row.tubelet_size[1],
        **more,
    }
    return Exported(
        architecture=architecture,
        config=config,
        weights=weights,
        processor=processor_of(model, image_processor_type="DeiTImageProcessor"),
        notes=notes,
    )


def token_vit(
    model: VideoModel,
    architecture: str,
    base: str,
    kernel: Sequence[int],
    unsaid: Sequence[Unsaid] = (),
) -> tuple[Weights, dict[str, Any], tuple[str, ...]]:
    """Return weights, more of the config, and notes of a ViT whose head reads class tokens.

    Raises:
        CheckpointError: as `refuse_unsaid`, which also gets the `unsaid`.
    """
    row: Any = recipe_of(model).variant
    tokens = class_token(model, row.num_class_tokens)
    refuse_unsaid(model, architecture, (*unsaid, tokens, no_attentive_pooler(model)))
    weights = split_qkv(state_of(model))
    as_convolution(weights, kernel)
    more: dict[str, Any] = {}
    if not model.num_classes:
        pooler, more = start_pooler(row.dim, weights["norm.bias"])
        weights, base = weights | pooler, ""
    if row.num_class_tokens == 2:
        _part_distillation(weights)
    rules = (
        (r"embed\.patch\.proj\.", f"{base}embeddings.patch_embeddings.projection."),
        (r"embed\.cls_token$", f"{base}embeddings.cls_token"),
        (r"embed\.dist_token$", f"{base}embeddings.distillation_token"),
        (r"embed\.pos_embed$", f"{base}embeddings.position_embeddings"),
        *block_rules(f"{base}layers", SINCE_5),
        (r"norm\.", f"{base}layernorm."),
        (r"head\.", "cls_classifier." if row.num_class_tokens == 2 else "classifier."),
        (r"head_dist\.", "distillation_classifier."),
        (r"pooler\.", "pooler."),
    )
    notes = eps_notes("norm", row.head_norm_eps or row.norm_eps, row.norm_eps)
    return rename_all(weights, rules, architecture), more, notes


def _part_distillation(weights: Weights) -> None:
    """Make two of the class tokens (1, 2, D), and of the head (K, 2D) two whose mean it is."""
    tokens = weights["embed.cls_token"]
    weights["embed.cls_token"], weights["embed.dist_token"] = (
        token.clone() for token in tokens.chunk(2, dim=1)
    )
    if "head.weight" in weights:
        halves = weights["head.weight"].chunk(2, dim=1)
        weights["head.weight"], weights["head_dist.weight"] = (2 * half for half in halves)
        weights["head_dist.bias"] = weights["head.bias"].clone()
