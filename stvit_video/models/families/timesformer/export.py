"""TimeSformer in the words of HF transformers."""

from typing import Any

from stvit_video.models.exported import Exported
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.weights.export import (
    BEFORE_5,
    KEEP,
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
    state_of,
)

_NAMES = {
    **BEFORE_5,
    "attn.qkv": "attention.attention.qkv",
    "temporal_norm1": "temporal_layernorm",
    "temporal_attn.qkv": "temporal_attention.attention.qkv",
    "temporal_attn.proj": "temporal_attention.output.dense",
    "temporal_fc": "temporal_dense",
}


def export(model: VideoModel) -> Exported:
    """Say a TimeSformer of divided or joint attention, with its head or without.

    Space-only ones are refused: transformers returns logits of every frame, and averages nothing.

    Raises:
        CheckpointError: it has no class token, or what `refuse_unsaid` names.
    """
    row: Any = recipe_of(model).variant
    has_head = model.num_classes > 0
    architecture = "TimesformerForVideoClassification" if has_head else "TimesformerModel"
    space = (row.attention == "space", f"attention ({row.attention})", KEEP)
    refuse_unsaid(model, architecture, (space, class_token(model, 1), no_attentive_pooler(model)))
    weights = state_of(model)
    as_convolution(weights, row.tubelet_size[1:])
    base = "timesformer." if has_head else ""
    rules = (
        (r"embed\.patch\.proj\.", f"{base}embeddings.patch_embeddings.projection."),
        (r"embed\.cls_token$", f"{base}embeddings.cls_token"),
        (r"embed\.pos_embed$", f"{base}embeddings.position_embeddings"),
        (r"embed\.time_embed$", f"{base}embeddings.time_embeddings"),
        *block_rules(f"{base}encoder.layer", _NAMES),
        (r"norm\.", f"{base}layernorm."),
        (r"head\.", "classifier."),
    )
    config = {
        **config_of(model, architecture, "timesformer"),
        "num_frames": model.preprocessing.num_frames,
        "patch_size": row.tubelet_size[1],
        "attention_type": f"{row.attention}_space_time",
    }
    return Exported(
        architecture=architecture,
        config=config,
        weights=rename_all(weights, rules, architecture),
        processor=processor_of(model, image_processor_type="VideoMAEImageProcessor"),
        notes=eps_notes("norm", row.head_norm_eps or row.norm_eps, row.norm_eps),
    )
