"""Models by name. A variant is a row in its family's table; a family is one entry here."""

import dataclasses
from fnmatch import fnmatchcase
from pathlib import Path

from torch import nn

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.models.families.swin import rows as swin
from stvit_video.models.families.timesformer import rows as timesformer
from stvit_video.models.families.vit import variant as vit
from stvit_video.models.families.vivit import rows as vivit
from stvit_video.models.variant import BuildOptions, Recipe, Variant, build
from stvit_video.models.weights.load import load_pretrained, read_pretrained
from stvit_video.settings.model import Preprocessing, SemanticConfig, parse_semantic
from stvit_video.tokens.reducers.table import parse_reduction

VARIANTS: dict[str, Variant] = {
    **vit.VARIANTS,
    **timesformer.VARIANTS,
    **vivit.VARIANTS,
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
    num_frames: int | None = None,
    frame_stride: int | None = None,
    image_size: int | None = None,
    drop_path: float = 0.0,
    pretrained: str | Path | None = None,
    class_token: bool | None = None,
    reduction: str | None = None,
) -> nn.Module:
    """Build a model: clip (B, C, T, H, W) -> logits (B, K), random weights or `pretrained` ones.

    `semantic` is a setting such as `8x4x4@4`: cluster to a grid of 8x4x4 after block 4.
    `num_frames`, `frame_stride` and `image_size` change the clips that it is built for, in frames
    and pixels; positions are interpolated for any other clip. `num_classes=0` drops the head.
    `class_token` None keeps a class token in dense models that have one; semantic models average
    their tokens, as in the paper.
    `reduction` runs a rival method instead, such as `tome:r=65`; plain ViTs have it.

    `pretrained` is a file, a folder or a hub id. What is not asked for is then as the checkpoint
    has it: classes and labels, frames, size, colours, setting, class token. A head of other
    `num_classes` is new. Weights of an image model are inflated.

    Raises:
        ConfigError: an unknown name, or a setting that does not fit the model.
        CheckpointError: weights that cannot be read, or are of another model.
    """
    variant = find_variant(name)
    checkpoint = None if pretrained is None else read_pretrained(pretrained, name, variant)
    if checkpoint is not None:
        variant = checkpoint.variant
        class_token = checkpoint.class_token if class_token is None else class_token
        if semantic is None and reduction is None:
            semantic, reduction = checkpoint.semantic, checkpoint.reduction
    if semantic is not None and reduction is not None:
        raise ConfigError(f"semantic ({semantic}) and reduction ({reduction}) exclude each other")
    options = BuildOptions(
        num_classes=variant.num_classes if num_classes is None else num_classes,
        preprocessing=_preprocessing(variant, num_frames, frame_stride, image_size),
        semantic=semantic_stages(semantic),
        drop_path=drop_path,
        class_token=class_token,
        reduction=None if reduction is None else parse_reduction(reduction),
    )
    model = build(Recipe(name=name, variant=variant, options=options))
    return model if checkpoint is None else load_pretrained(model, checkpoint)


def _preprocessing(
    variant: Variant, num_frames: int | None, frame_stride: int | None, image_size: int | None
) -> Preprocessing:
    native = variant.preprocessing
    return dataclasses.replace(
        native,
        num_frames=native.num_frames if num_frames is None else num_frames,
        frame_stride=native.frame_stride if frame_stride is None else frame_stride,
        image_size=native.image_size if image_size is None else image_size,
    )


def semantic_stages(semantic: str | SemanticConfig | None) -> tuple[SemanticConfig, ...]:
    """Read a semantic setting; None, for the dense model, is no stage."""
    if semantic is None:
        return ()
    return (semantic,) if isinstance(semantic, SemanticConfig) else parse_semantic(semantic)
