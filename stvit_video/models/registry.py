"""Models by name. A variant is a row in its family's table; a family is one entry here."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.models.build import build, options_of
from stvit_video.models.families.image_encoder import rows as image_encoder
from stvit_video.models.families.internvideo2 import rows as internvideo2
from stvit_video.models.families.swin import rows as swin
from stvit_video.models.families.timesformer import rows as timesformer
from stvit_video.models.families.videomae import rows as videomae
from stvit_video.models.families.videoprism import rows as videoprism
from stvit_video.models.families.vit import rows as vit
from stvit_video.models.families.vivit import rows as vivit
from stvit_video.models.families.vjepa2 import rows as vjepa2
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import Recipe, Variant
from stvit_video.models.weights.load import load_pretrained, read_pretrained
from stvit_video.settings.grammar import ReducerConfig, SemanticConfig
from stvit_video.settings.model import ModelConfig, Preprocessing

VARIANTS: dict[str, Variant] = {
    **vit.VARIANTS,
    **videomae.VARIANTS,
    **timesformer.VARIANTS,
    **vivit.VARIANTS,
    **internvideo2.VARIANTS,
    **videoprism.VARIANTS,
    **vjepa2.VARIANTS,
    **image_encoder.VARIANTS,
    **swin.VARIANTS,
}


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of all models that match a shell pattern, sorted."""
    return sorted(name for name in VARIANTS if fnmatchcase(name, pattern))


def find_variant(name: str) -> Variant:
    """Look a model up.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in VARIANTS:
        raise ConfigError(
            f"unknown model {name!r}{did_you_mean(name, list(VARIANTS))}"
            " (stvit-video models lists all)"
        )
    return VARIANTS[name]


def create_model(  # noqa: PLR0913 one front door, as users know it from timm
    name: str,
    *,
    num_classes: int | None = None,
    semantic: str | SemanticConfig | None = None,
    reduction: str | ReducerConfig | None = None,
    class_token: bool | None = None,
    attentive_blocks: int | None = None,
    attentive_layers: Sequence[int] | None = None,
    num_frames: int | None = None,
    frame_stride: int | None = None,
    image_size: int | None = None,
    drop_path: float = 0.0,
    pretrained: str | Path | None = None,
    pretrained_probe: str | Path | None = None,
    pretrained_entry: str | None = None,
) -> VideoModel:
    """Build a model: clip (B, C, T, H, W) -> logits (B, K), random weights or `pretrained` ones.

    `semantic` is a setting such as `8x4x4@4`: cluster to a grid of 8x4x4 after block 4.
    `reduction` runs another method instead, such as `tome:r=65`; plain ViTs have it.
    `num_frames`, `frame_stride` and `image_size` change the clips that it is built for, in frames
    and pixels; positions are interpolated for any other clip. `num_classes=0` drops the head.
    `class_token` None keeps a class token in dense models that have one; semantic models average
    their tokens, as in the paper. `attentive_blocks` lets a learned query read the tokens for the
    head, as the probes of V-JEPA do (1 block) and V-JEPA 2 (4); those behind the last block, or
    behind all `attentive_layers`, counted from 1.

    `pretrained` is a file, a folder or a hub id. What is not asked for is then as the checkpoint
    has it: classes and labels, frames, size, colours, setting, class token. A head of other
    `num_classes` is new. Weights of an image model are inflated. `pretrained_probe` is a file that
    holds pooler and head, as the original probes of V-JEPA 2. `pretrained_entry` chooses among the
    entries of a file that holds several, such as `model_ema`.

    Raises:
        ConfigError: an unknown name, or a setting that does not fit the model.
        CheckpointError: weights that cannot be read, or are of another model.
    """
    config = ModelConfig(
        name=name,
        semantic=None if semantic is None else str(semantic),
        reduction=None if reduction is None else str(reduction),
        class_token=class_token,
        attentive_blocks=attentive_blocks,
        attentive_layers=None if attentive_layers is None else tuple(attentive_layers),
        num_frames=num_frames,
        frame_stride=frame_stride,
        image_size=image_size,
        drop_path=drop_path,
        pretrained=str(pretrained) if isinstance(pretrained, Path) else pretrained,
        pretrained_probe=None if pretrained_probe is None else str(pretrained_probe),
        pretrained_entry=pretrained_entry,
    )
    return build_model(config, num_classes=num_classes)


def build_model(config: ModelConfig, *, num_classes: int | None = None) -> VideoModel:
    """Build a model from its settings, which `create_model` explains. Raises as that."""
    variant = find_variant(config.name)
    checkpoint = None
    if config.pretrained is not None:
        checkpoint = read_pretrained(
            config.pretrained,
            config.name,
            variant,
            probe=config.pretrained_probe,
            entry=config.pretrained_entry,
        )
        variant = checkpoint.variant
        config = checkpoint.complete(config)
    options = options_of(
        config,
        variant,
        num_classes=variant.num_classes if num_classes is None else num_classes,
        preprocessing=_preprocessing(variant, config),
    )
    model = build(Recipe(name=config.name, variant=variant, options=options))
    model.head_dropout.p = config.head_dropout
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(config.head_init_scale)
    return model if checkpoint is None else load_pretrained(model, checkpoint)


def _preprocessing(variant: Variant, config: ModelConfig) -> Preprocessing:
    asked = {name: getattr(config, name) for name in ("num_frames", "frame_stride", "image_size")}
    given = {name: value for name, value in asked.items() if value is not None}
    return replace(variant.preprocessing, **given)
