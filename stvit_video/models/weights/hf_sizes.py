"""Sizes of a network, as fields of a row, by the config of HF transformers."""

from collections.abc import Callable, Mapping
from typing import Any

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.image_encoders import videoprism_sizes

Json = Mapping[str, Any]

_ATTENTION = {"divided_space_time": "divided", "joint_space_time": "joint", "space_only": "space"}


def one_side(size: Any, name: str, source: str) -> int:
    """Read a size that HF writes as a number or as a pair of equal ones."""
    sides = size if isinstance(size, list | tuple) else [size]
    if len(set(sides)) != 1:
        raise CheckpointError(f"{source} has {name} {list(sides)}; both sides must be equal")
    return int(sides[0])


def _vit_sizes(config: Json) -> dict[str, Any]:
    dim = config["hidden_size"]
    return {
        "dim": dim,
        "depth": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "mlp_ratio": config["intermediate_size"] / dim,
    }


def _frame_vit_sizes(config: Json) -> dict[str, Any]:
    patch = one_side(config["patch_size"], "patch_size", "config.json")
    return {**_vit_sizes(config), "tubelet_size": (1, patch, patch)}


def _deit_sizes(config: Json) -> dict[str, Any]:
    return {**_frame_vit_sizes(config), "num_class_tokens": 2}


def _timesformer_sizes(config: Json) -> dict[str, Any]:
    attention = _ATTENTION.get(config.get("attention_type", ""), "divided")
    return {**_frame_vit_sizes(config), "attention": attention}


def _videomae_sizes(config: Json) -> dict[str, Any]:
    patch = one_side(config["patch_size"], "patch_size", "config.json")
    return {**_vit_sizes(config), "tubelet_size": (config["tubelet_size"], patch, patch)}


def _vjepa2_sizes(config: Json) -> dict[str, Any]:
    patch = one_side(config["patch_size"], "patch_size", "config.json")
    return {
        "dim": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "mlp_ratio": config["mlp_ratio"],
        "tubelet_size": (config["tubelet_size"], patch, patch),
    }


def _vivit_sizes(config: Json) -> dict[str, Any]:
    return {**_vit_sizes(config), "tubelet_size": tuple(config["tubelet_size"])}


def _swin_sizes(config: Json) -> dict[str, Any]:
    window = config["window_size"]
    return {
        "dim": config["embed_dim"],
        "depths": tuple(config["depths"]),
        "num_heads": tuple(config["num_heads"]),
        "window_size": (1, window, window),
        "mlp_ratio": config["mlp_ratio"],
    }


HF_SIZES: dict[str, Callable[[Json], dict[str, Any]]] = {
    "vit": _frame_vit_sizes,
    "deit": _deit_sizes,
    "videomae": _videomae_sizes,
    "timesformer": _timesformer_sizes,
    "vivit": _vivit_sizes,
    "vjepa2": _vjepa2_sizes,
    "swin": _swin_sizes,
    "siglip": _frame_vit_sizes,
    "siglip_vision_model": _frame_vit_sizes,
    "dinov3_vit": _frame_vit_sizes,
    "videoprism_vision_model": videoprism_sizes,
}
"""By the model type of a config."""
