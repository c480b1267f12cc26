"""V-JEPA 2 in the words of HF transformers.

Legend: D width.
"""

import re
from typing import Any

from stvit_video.models.card import activation_name
from stvit_video.models.exported import Exported
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.weights.export import (
    KEEP,
    Unsaid,
    as_convolution,
    block_rules,
    config_of,
    eps_notes,
    processor_of,
    recipe_of,
    refuse_unsaid,
    rename_all,
    split_qkv,
    state_of,
)
from stvit_video.models.weights.names import Rule, Weights

_NAMES = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.q": "attention.query",
    "attn.k": "attention.key",
    "attn.v": "attention.value",
    "attn.proj": "attention.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_POOLER_NAMES = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.q": "self_attn.q_proj",
    "attn.k": "self_attn.k_proj",
    "attn.v": "self_attn.v_proj",
    "attn.proj": "self_attn.out_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_CROSS_RULES: tuple[Rule, ...] = (
    (r"pooler\.query_tokens$", "pooler.query_tokens"),
    (r"pooler\.cross\.norm(\d)\.", r"pooler.cross_attention_layer.layer_norm\1."),
    (r"pooler\.cross\.(q|k|v)\.", r"pooler.cross_attention_layer.cross_attn.\1_proj."),
    (r"pooler\.cross\.mlp\.", "pooler.cross_attention_layer.mlp."),
)
_NO_PREDICTOR = {"pred_hidden_size": 1, "pred_num_hidden_layers": 0, "pred_num_mask_tokens": 1}
"""All classes of transformers have a predictor: one without layers, which no classifier runs."""


def export(model: VideoModel) -> Exported:
    """Say an encoder with its probe and head, or the encoder alone.

    Raises:
        CheckpointError: a head without probe or a probe without head, a probe of another
            activation, or what `refuse_unsaid` names.
    """
    row: Any = recipe_of(model).variant
    has_head = model.num_classes > 0
    architecture = "VJEPA2ForVideoClassification" if has_head else "VJEPA2Model"
    refuse_unsaid(model, architecture, _unsaid(model, activation_name(row.activation)))
    weights = _split_keys_and_values(split_qkv(state_of(model)))
    as_convolution(weights, row.tubelet_size)
    base = "vjepa2." if has_head else ""
    rules = (
        (r"embed\.patch\.proj\.", f"{base}encoder.embeddings.patch_embeddings.proj."),
        *block_rules(f"{base}encoder.layer", _NAMES),
        (r"norm\.", f"{base}encoder.layernorm."),
        *((f"pooler\\.{a}", b) for a, b in block_rules(_POOLER_LAYERS, _POOLER_NAMES)),
        *_CROSS_RULES,
        (r"head\.", "classifier."),
    )
    renamed = rename_all(weights, rules, architecture) | _empty_predictor(base, row.dim, weights)
    notes: tuple[str, ...] = ()
    if model.attentive_blocks:
        notes = eps_notes("norms of the pooler", row.pooler_norm_eps, row.norm_eps)
    processor = processor_of(model, video_processor_type="VJEPA2VideoProcessor")
    return Exported(
        architecture=architecture,
        config=_config(model, architecture),
        weights=renamed,
        processor=processor,
        processor_file="video_preprocessor_config.json",
        notes=notes + _short_side_notes(processor),
    )


_POOLER_LAYERS = "pooler.self_attention_layers"


def _unsaid(model: VideoModel, activation: str) -> tuple[Unsaid, ...]:
    blocks, classes = model.attentive_blocks, model.num_classes
    train = "train a probe, as stvit-video probe does"
    return (
        (classes > 0 and not blocks, "attentive_blocks (0) with a head", train),
        (blocks > 0 and not classes, f"attentive_blocks ({blocks}) without a head", train),
        (blocks > 0 and activation != "gelu", f"activation ({activation}) with a probe", KEEP),
    )


def _config(model: VideoModel, architecture: str) -> dict[str, Any]:
    row: Any = recipe_of(model).variant
    config = config_of(model, architecture, "vjepa2")
    del config["intermediate_size"], config["image_size"]
    config |= {
        "crop_size": model.preprocessing.image_size,
        "frames_per_clip": model.preprocessing.num_frames,
        "num_frames": model.preprocessing.num_frames,  # what pipelines of transformers look for
        "tubelet_size": row.tubelet_size[0],
        "patch_size": row.tubelet_size[1],
        "mlp_ratio": row.mlp_ratio,
    }
    if model.attentive_blocks:
        config["num_pooler_layers"] = model.attentive_blocks - 1
    return config | _NO_PREDICTOR


def _split_keys_and_values(weights: Weights) -> Weights:
    """Split `pooler.cross.kv` (2D, D) into `pooler.cross.{k,v}` (D, D)."""
    for key in [key for key in weights if re.match(r"pooler\.cross\.kv\.", key)]:
        halves = weights.pop(key).chunk(2)
        for part, half in zip("kv", halves, strict=True):
            weights[key.replace(".kv.", f".{part}.")] = half.clone()
    return weights


def _empty_predictor(base: str, dim: int, weights: Weights) -> Weights:
    """Return zeros for the few tensors of a predictor without layers, one channel wide."""
    like = weights["norm.bias"]
    shapes = {
        "embeddings.mask_tokens": (1, 1, 1, 1),
        "embeddings.predictor_embeddings.weight": (1, dim),
        "embeddings.predictor_embeddings.bias": (1,),
        "layernorm.weight": (1,),
        "layernorm.bias": (1,),
        "proj.weight": (dim, 1),
        "proj.bias": (dim,),
    }
    return {f"{base}predictor.{key}": like.new_zeros(shape) for key, shape in shapes.items()}


def _short_side_notes(processor: dict[str, Any]) -> tuple[str, ...]:
    """Say where the short side differs: VJEPA2VideoProcessor has its own, whatever a file says."""
    own = processor["size"]["shortest_edge"]
    theirs = int(processor["crop_size"]["height"] * 256 / 224)
    if own == theirs:
        return ()
    return (f"changed: short side ({own} pixels here, {theirs} in VJEPA2VideoProcessor)",)
