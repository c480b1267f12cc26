"""What configs and networks of image encoders say: SigLIP, DINOv3, PE, VideoPrism."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from stvit_video.errors import CheckpointError

Json = Mapping[str, Any]

_SIGLIP_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
"""What `SiglipVisionConfig` leaves out of config.json."""

_VIDEOPRISM_DEFAULTS = {
    "hidden_size": 768,
    "num_spatial_layers": 12,
    "num_temporal_layers": 4,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "tubelet_size": (1, 18, 18),
}
"""What `VideoPrismVisionConfig` leaves out of config.json."""


def image_half(config: Json) -> Json:
    """Return the config of the image encoder, of one that comes with a text encoder as well."""
    kind = str(config["model_type"])
    defaults: Json = _SIGLIP_DEFAULTS if kind.startswith("siglip") else {}
    defaults = _VIDEOPRISM_DEFAULTS if kind == "videoprism_vision_model" else defaults
    own = config.get("vision_config") or config
    labels = {name: config[name] for name in ("id2label",) if name in config}
    return {**defaults, **own, **labels, "model_type": config["model_type"]}


def dinov3_details(config: Json) -> dict[str, Any]:
    """Say what changes no shape in a DINOv3 of HF transformers."""
    return {"rotary_base": float(config.get("rope_theta", 100.0))}


def videoprism_sizes(config: Json) -> dict[str, Any]:
    """Return the sizes of a VideoPrism of HF transformers."""
    return {
        "dim": config["hidden_size"],
        "depth": config["num_spatial_layers"],
        "temporal_depth": config["num_temporal_layers"],
        "num_heads": config["num_attention_heads"],
        "mlp_ratio": config["intermediate_size"] / config["hidden_size"],
        "tubelet_size": tuple(config["tubelet_size"]),
    }


def videoprism_details(config: Json) -> dict[str, Any]:
    """Say what changes no shape in a VideoPrism of HF transformers."""
    cap = config.get("attn_logit_softcapping", 50.0)
    return {"logit_cap": None if cap is None else float(cap)}


def describe_eva(model: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Read an Eva of timm -> our name of its kind, its sizes, and what changes no shape.

    Raises:
        CheckpointError: it has parts that our image encoders have not.
    """
    block, rope = model.blocks[0], model.rope
    is_normed = isinstance(model.norm_pre, nn.LayerNorm)
    kind = _kind_of(rope, is_normed=is_normed, has_class_token=model.num_prefix_tokens > 0)
    mlp, known = type(block.mlp).__name__, ("Mlp", "SwiGLU") if kind == "dinov3" else ("Mlp",)
    for is_there, what in (
        (kind is not None, "other rotary positions than DINOv3 and PE"),
        (type(block).__name__ == "EvaBlock", f"blocks of the kind {type(block).__name__}"),
        (mlp in known, f"an MLP of the kind {mlp}"),
        (isinstance(block.norm1, nn.LayerNorm), "norms that are no LayerNorm"),
        (isinstance(model.norm, nn.LayerNorm), "no norm behind its blocks"),
    ):
        if not is_there:
            raise CheckpointError(f"timm Eva has {what}, which our image encoders have not")
    assert kind is not None
    structure = {
        "dim": model.embed_dim,
        "depth": len(model.blocks),
        "num_heads": block.attn.num_heads,
        "mlp_ratio": block.mlp.fc2.in_features / model.embed_dim,
        "tubelet_size": (1, *model.patch_embed.patch_size),
    }
    details = {
        "norm_eps": block.norm1.eps,
        "head_norm_eps": model.norm.eps,
        "rotary_base": float(rope.temperature),
    }
    if kind == "pe":
        sides = rope.ref_feat_shape or model.patch_embed.grid_size
        if len(set(sides)) != 1:
            raise CheckpointError(f"timm Eva has ref_feat_shape {tuple(sides)}; both must be equal")
        details["rotary_side"] = sides[0]
    return kind, structure, details


def _kind_of(rope: Any, *, is_normed: bool, has_class_token: bool) -> str | None:
    """Tell the two kinds of rotary positions apart by what they say of themselves.

    Where PE begins to count matters only beside a class token, which sits at 0.
    """
    said = {
        name: getattr(rope, name, None) for name in ("grid_offset", "grid_indexing", "rotate_half")
    }
    if type(rope).__name__ == "RotaryEmbeddingDinoV3" and not is_normed:
        known = {"grid_offset": 0.0, "grid_indexing": "ij", "rotate_half": True}
        return "dinov3" if said == known and rope.normalize_coords == "separate" else None
    if type(rope).__name__ == "RotaryEmbeddingCat" and is_normed and not rope.in_pixels:
        offset = 1.0 if has_class_token else said["grid_offset"]
        known = {"grid_offset": offset, "grid_indexing": "xy", "rotate_half": False}
        return "pe" if said == known else None
    return None
