"""Switch semantic tokens on in a model that is already built, ours or another library's."""

import dataclasses

import torch
from torch import nn

from stvit_video.models.build import build
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import VARIANTS
from stvit_video.models.variant import BuildOptions, Recipe, Variant
from stvit_video.models.weights.foreign import read_network
from stvit_video.models.weights.load import Pretrained, load_pretrained
from stvit_video.settings.grammar import SemanticConfig, parse_semantic
from stvit_video.settings.model import ModelConfig


def sparsify(model: nn.Module, semantic: str | SemanticConfig | None) -> VideoModel:
    """Return a network with the weights of `model` and semantic tokens, such as `8x4x4@4`.

    The result works before any training. A setting that names neither centers nor pool has far
    centres where the network can (not Swin): clusters by content, which lose least without
    training and add no weight. With `centers=grid`, the paper's, the layers that cluster are the
    model's own blocks; only the global centres (and the head of learned pooling) are new. A class
    token stays. `model` is left as it is: one of ours, a VideoMAE, ViViT, TimeSformer, ViT, DeiT or
    Swin of HF transformers, a VisionTransformer or SwinTransformer of timm, or a SwinTransformer3d
    of torchvision. With None the result is dense: the
    same network in our form.

    The result takes clips (B, C, T, H, W), images with T = 1, has the mode, device and dtype of
    `model`, and shares no tensor with it.

    Raises:
        ConfigError: an unknown network, or a setting that does not fit it.
        CheckpointError: the network has parts that our blocks have not.
    """
    name, pretrained = _read(model)
    options = BuildOptions(
        num_classes=pretrained.variant.num_classes,
        preprocessing=pretrained.variant.preprocessing,
        semantic=_units(semantic, pretrained.variant),
        drop_path=model.recipe.options.drop_path
        if isinstance(model, VideoModel) and model.recipe
        else 0.0,
        class_token=pretrained.config.class_token,
        attentive_blocks=pretrained.config.attentive_blocks or 0,
        attentive_layers=pretrained.config.attentive_layers or (),
    )
    result = build(Recipe(name=name, variant=pretrained.variant, options=options))
    load_pretrained(result, pretrained)
    first = next(model.parameters())
    return result.to(first.device, first.dtype).train(model.training)


def _units(semantic: str | SemanticConfig | None, variant: Variant) -> tuple[SemanticConfig, ...]:
    if semantic is None:
        return ()
    if isinstance(semantic, SemanticConfig):
        return (semantic,)
    return parse_semantic(semantic, defaults=variant.untrained_options)


def _read(model: nn.Module) -> tuple[str, Pretrained]:
    recipe = model.recipe if isinstance(model, VideoModel) else None
    if recipe is None:
        return read_network(model, VARIANTS)
    weights = {
        key: value.detach().to("cpu", torch.float32) if value.is_floating_point() else value.cpu()
        for key, value in model.state_dict().items()
        if not key.startswith("stages.")
    }
    variant = dataclasses.replace(
        recipe.variant,
        num_classes=recipe.options.num_classes,
        preprocessing=recipe.options.preprocessing,
    )
    return recipe.name, Pretrained(
        source=f"the weights of {recipe.name}",
        weights=weights,
        variant=variant,
        config=ModelConfig(
            name=recipe.name,
            class_token="embed.cls_token" in weights or None,
            attentive_blocks=recipe.options.attentive_blocks,
            attentive_layers=recipe.options.attentive_layers or None,
        ),
        labels=getattr(model, "labels", ()),
        multi_label=bool(getattr(model, "multi_label", False)),
    )
