"""Read networks of HF transformers and timm that are already built, as checkpoints are read."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

from torch import nn

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.card import ACTIVATIONS
from stvit_video.models.layers.attentive import num_pooler_blocks
from stvit_video.models.variant import Variant
from stvit_video.models.weights.describe import Description, describe_config
from stvit_video.models.weights.image_encoders import describe_eva
from stvit_video.models.weights.load import Pretrained, state_facts
from stvit_video.settings.model import ModelConfig

_TEMPLATES = {
    "vit": "vit_base_patch16_224",
    "deit": "deit_base_distilled_patch16_224",
    "videomae": "videomae_base_patch16_224",
    "vivit": "vivit_base_patch16x2_224",
    "videoprism_vision_model": "videoprism_base_patch18_288",
    "vjepa2": "vjepa2_large_patch16_256",
    "divided": "timesformer_base_patch16_224",
    "joint": "timesformer_base_joint_patch16_224",
    "space": "timesformer_base_space_patch16_224",
    "siglip": "siglip2_base_patch16_224",
    "siglip_vision_model": "siglip2_base_patch16_224",
    "dinov3_vit": "dinov3_base_patch16_256",
    "dinov3": "dinov3_base_patch16_256",
    "pe": "pe_core_base_patch16_224",
    "swin": "swin_base_patch4_window7_224",
    "video_swin": "video_swin_base_patch2x4x4_224",
}
"""The row whose structure a network has, by HF's model type or by the attention of TimeSformer."""


def read_network(model: nn.Module, rows: dict[str, Variant]) -> tuple[str, Pretrained]:
    """Read a network of another library -> the row it belongs to, and its weights under our names.

    A row of the same sizes is preferred; else the row of its family, with its sizes set otherwise.

    Raises:
        ConfigError: the network is of no family that we know.
        CheckpointError: it has parts that our blocks have not.
    """
    source = f"{type(model).__module__.split('.')[0]} {type(model).__name__}"
    state = model.state_dict()
    if any(".lora_" in key for key in state):
        raise ConfigError(f"{source} has adapters; merge them first: model.merge_and_unload()")
    description = _describe(model, source)
    structure = description.structure
    name = find_row(description, rows)
    if name is None:
        raise ConfigError(
            f"cannot sparsify {source}; known are models of create_model, HF ViT, DeiT, VideoMAE,"
            " ViViT, TimeSformer, V-JEPA 2, VideoPrism, SigLIP, DINOv3 and Swin, timm's"
            " VisionTransformer, Eva and SwinTransformer, and torchvision's SwinTransformer3d"
        )
    row = rows[name]
    if row.rename is None:
        raise CheckpointError(f"{source} cannot be read: {name} has no rules for its key names")
    weights = row.rename(state)
    head = weights.get("head.weight")
    variant = dataclasses.replace(
        row,
        **(state_facts(row, state, source) | structure | description.details_for(row)),
        preprocessing=description.preprocessing_for(row.preprocessing, is_image=False),
        num_classes=0 if head is None else head.shape[0],
        source=source,
    )
    return name, Pretrained(
        source=source,
        weights=weights,
        variant=variant,
        config=ModelConfig(
            name=name,
            class_token="embed.cls_token" in weights,
            attentive_blocks=num_pooler_blocks(weights),
        ),
        labels=description.labels if head is not None else (),
    )


def find_row(description: Description, rows: dict[str, Variant]) -> str | None:
    """Return the row of the described sizes, else that of the family; None of no known family."""
    structure = description.structure
    template = _TEMPLATES.get(structure.get("attention", description.model_type))
    if template is None:
        return None
    family, size = template.split("_")[0], description.preprocessing.get("image_size")
    found = [
        name
        for name, row in rows.items()
        if name.split("_")[0] == family
        and type(row) is type(rows[template])
        and all(getattr(row, key) == value for key, value in structure.items())
    ]
    of_size = [name for name in found if rows[name].preprocessing.image_size == size]
    return next(iter(of_size + found), template)


def _describe(model: nn.Module, source: str) -> Description:
    library = type(model).__module__.split(".")[0]
    if library == "transformers":
        return describe_config(cast(Any, model).config.to_dict(), source)
    if library == "timm" and type(model).__name__.startswith("VisionTransformer"):
        return _describe_timm_vit(model)
    if library == "timm" and type(model).__name__ == "Eva":
        return _describe_timm_eva(model)
    if library == "timm" and type(model).__name__ == "SwinTransformer":
        return _describe_timm_swin(model)
    if library == "torchvision" and type(model).__name__ == "SwinTransformer3d":
        return _describe_video_swin(model)
    return Description()


def _describe_timm_vit(model: Any) -> Description:
    block = model.blocks[0]
    norm = next((n for n in (model.norm, model.fc_norm) if isinstance(n, nn.LayerNorm)), None)
    pools = {"token": None, "avg": "mean_of_normed" if norm is model.norm else "mean"}
    pools["map"] = "mean_of_normed"
    for is_there, what in (
        (type(block).__name__ == "Block", f"blocks of the kind {type(block).__name__}"),
        (isinstance(getattr(block, "norm1", None), nn.LayerNorm), "norms that are no LayerNorm"),
        (norm is not None, "no layer norm ahead of its head"),
        (model.global_pool in pools, f"global_pool={model.global_pool!r}"),
    ):
        if not is_there:
            raise CheckpointError(f"timm VisionTransformer has {what}, which our ViT has not")
    assert norm is not None
    details = {
        "norm_eps": block.norm1.eps,
        "head_norm_eps": norm.eps,
        "pool": pools[model.global_pool],
        "activation": _activation_of(block.mlp.act),
    }
    plain = "siglip" if model.global_pool == "map" else "vit"
    return Description(
        model_type="deit" if hasattr(model, "head_dist") else plain,
        structure={
            "dim": model.embed_dim,
            "depth": len(model.blocks),
            "num_heads": block.attn.num_heads,
            "mlp_ratio": block.mlp.fc1.out_features / model.embed_dim,
            "tubelet_size": (1, *model.patch_embed.patch_size),
            "num_class_tokens": 2 if hasattr(model, "head_dist") else 1,
        },
        details=details,
        preprocessing=_pictures_of(model),
    )


def _describe_timm_eva(model: Any) -> Description:
    kind, structure, details = describe_eva(model)
    act = model.blocks[0].mlp.act
    is_gated = hasattr(model.blocks[0].mlp, "fc1_g")
    if is_gated and not isinstance(act, nn.SiLU):
        raise CheckpointError(f"timm Eva has MLPs gated by {type(act).__name__}; known: SiLU")
    if not is_gated:
        details["activation"] = _activation_of(act)
    return Description(
        model_type=kind,
        structure=structure,
        details=details,
        preprocessing=_pictures_of(model),
    )


def _pictures_of(model: Any) -> dict[str, Any]:
    """Return size and colours of the pictures that a network of timm is for."""
    height, width = model.patch_embed.img_size
    if height != width:
        raise CheckpointError(
            f"timm {type(model).__name__} has size {height}x{width}; both must be equal"
        )
    pretrained = getattr(model, "pretrained_cfg", None) or {}
    colours = {name: tuple(pretrained[name]) for name in ("mean", "std") if name in pretrained}
    return {"image_size": height, **colours}


def _activation_of(act: nn.Module) -> Callable[..., nn.Module]:
    """Return the activation of a network by one of its layers."""
    if isinstance(act, nn.GELU) or type(act).__name__ in ("GELU", "GELUTanh"):  # of torch, of timm
        is_tanh = getattr(act, "approximate", "") == "tanh" or type(act).__name__ == "GELUTanh"
        return ACTIVATIONS["gelu_tanh" if is_tanh else "gelu"]
    known = ", ".join(ACTIVATIONS)
    raise CheckpointError(f"the activation is {type(act).__name__}; known: {known}")


def _describe_timm_swin(model: Any) -> Description:
    blocks = [layer.blocks[0] for layer in model.layers]
    _check_swin_norms(model, "timm SwinTransformer")
    if model.global_pool != "avg":
        raise CheckpointError(
            f"timm SwinTransformer has global_pool={model.global_pool!r}, which our Swin has not"
        )
    _check_whole_windows(model)
    return Description(
        model_type="swin",
        structure={
            "dim": model.embed_dim,
            "depths": tuple(len(layer.blocks) for layer in model.layers),
            "num_heads": tuple(block.attn.num_heads for block in blocks),
            "window_size": (1, *blocks[0].attn.window_size),
            "mlp_ratio": blocks[0].mlp.fc1.out_features / model.embed_dim,
        },
        details={"activation": _activation_of(blocks[0].mlp.act)},
        preprocessing={"image_size": model.patch_embed.img_size[0]},
    )


def _describe_video_swin(model: Any) -> Description:
    stages = list(model.features)[::2]
    tubelet = model.patch_embed.tuple_patch_size
    if tubelet[1:] != (4, 4):
        raise CheckpointError(f"torchvision SwinTransformer3d has patches of {tubelet}, not 2x4x4")
    _check_swin_norms(model, "torchvision SwinTransformer3d")
    return Description(
        model_type="video_swin",
        structure={
            "dim": model.patch_embed.proj.out_channels,
            "depths": tuple(len(stage) for stage in stages),
            "num_heads": tuple(stage[0].attn.num_heads for stage in stages),
            "window_size": tuple(stages[0][0].attn.window_size),
            "tubelet_frames": tubelet[0],
            "mlp_ratio": stages[0][0].mlp[0].out_features / model.patch_embed.proj.out_channels,
        },
    )


def _check_swin_norms(model: nn.Module, source: str) -> None:
    """Refuse norms that are no LayerNorm, or of another epsilon than all published ones."""
    for name, module in model.named_modules():
        if "norm" in name.rpartition(".")[2] and not isinstance(module, nn.Identity):
            if not isinstance(module, nn.LayerNorm):
                raise CheckpointError(f"{source} has norms that are no LayerNorm: {name}")
            if module.eps != 1e-5:
                raise CheckpointError(
                    f"{source} has an epsilon of {module.eps} in {name}, not 1e-05"
                )


def _check_whole_windows(model: Any) -> None:
    """Refuse windows that timm shifts otherwise than Swin as published, which we follow.

    It shifts a grid that windows do not divide before it is filled up, others do so after it, and
    with `always_partition` also one that is a single window.
    """
    for block in (block for layer in model.layers for block in layer.blocks):
        sides = zip(block.input_resolution, block.window_size, block.shift_size, strict=True)
        for side, window, shift in sides:
            if shift and (side % window or side <= window):
                raise CheckpointError(
                    f"timm SwinTransformer shifts windows of {window} on a side of {side} tokens"
                    " otherwise than Swin as published; choose a size whose grids are multiples of"
                    f" {window}, and no always_partition"
                )
