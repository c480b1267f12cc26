"""VideoMAE in the words of HF transformers."""

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
    drop_key_biases,
    eps_notes,
    no_attentive_pooler,
    processor_of,
    recipe_of,
    refuse_unsaid,
    rename_all,
    split_qkv,
    state_of,
)

_FC_NORM_EPS = 1e-5  # torch's; no config of transformers sets it


def export(model: VideoModel) -> Exported:
    """Say a VideoMAE with head, or an encoder with the tokens of `forward_features`.

    Raises:
        CheckpointError: it has a class token, learned positions, or what `refuse_unsaid` names.
    """
    row: Any = recipe_of(model).variant
    has_head = model.num_classes > 0
    architecture = "VideoMAEForVideoClassification" if has_head else "VideoMAEModel"
    learned = (row.positions != "sinusoid", f"positions ({row.positions})", KEEP)
    unsaid = (class_token(model, 0), no_attentive_pooler(model), learned)
    refuse_unsaid(model, architecture, unsaid)
    weights, notes = drop_key_biases(split_qkv(state_of(model)))
    as_convolution(weights, row.tubelet_size)
    base = "videomae." if has_head else ""
    rules = (
        (r"embed\.patch\.proj\.", f"{base}embeddings.patch_embeddings.projection."),
        *block_rules(f"{base}encoder.layer", BEFORE_5),
        (r"norm\.", "fc_norm." if has_head else "layernorm."),
        (r"head\.", "classifier."),
    )
    config = {
        **config_of(model, architecture, "videomae"),
        "num_frames": model.preprocessing.num_frames,
        "tubelet_size": row.tubelet_size[0],
        "patch_size": row.tubelet_size[1],
        "use_mean_pooling": has_head,
    }
    own_eps = row.head_norm_eps or row.norm_eps
    notes += eps_notes("norm", own_eps, _FC_NORM_EPS if has_head else row.norm_eps)
    return Exported(
        architecture=architecture,
        config=config,
        weights=rename_all(weights, rules, architecture),
        processor=processor_of(model, image_processor_type="VideoMAEImageProcessor"),
        notes=notes,
    )
