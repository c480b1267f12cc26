"""Models by name. A variant is a row in its family's table; a family is one entry here."""

import dataclasses
from fnmatch import fnmatchcase

from torch import nn

from stvit_video.config import Preprocessing, SemanticConfig, parse_semantic
from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.models import timesformer, vit, vivit
from stvit_video.models.variant import BuildOptions, Variant
from stvit_video.tokens.rivals.setting import parse_reduction

VARIANTS: dict[str, Variant] = {**vit.VARIANTS, **timesformer.VARIANTS, **vivit.VARIANTS}


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


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    semantic: str | SemanticConfig | None = None,
    num_frames: int | None = None,
    image_size: int | None = None,
    drop_path: float = 0.0,
    class_token: bool | None = None,
    reduction: str | None = None,
) -> nn.Module:
    """Build a model: clip (B, C, T, H, W) -> logits (B, K), random weights.

    `semantic` is a setting such as `8x4x4@4`: cluster to a grid of 8x4x4 after block 4.
    `num_frames` and `image_size` change the clips that it is built for, in frames and pixels;
    positions are interpolated for any other clip. `num_classes=0` drops the head.
    `class_token` None keeps a class token in dense models that have one; semantic models average
    their tokens, as in the paper.
    `reduction` runs a rival method instead, such as `tome:r=65`; plain ViTs have it.

    Raises:
        ConfigError: an unknown name, or a setting that does not fit the model.
    """
    variant = find_variant(name)
    if semantic is not None and reduction is not None:
        raise ConfigError(f"semantic ({semantic}) and reduction ({reduction}) exclude each other")
    return variant.build(
        BuildOptions(
            num_classes=variant.num_classes if num_classes is None else num_classes,
            preprocessing=_preprocessing(variant, num_frames, image_size),
            semantic=_semantic_stages(semantic),
            drop_path=drop_path,
            class_token=class_token,
            reduction=None if reduction is None else parse_reduction(reduction),
        )
    )


def _preprocessing(
    variant: Variant, num_frames: int | None, image_size: int | None
) -> Preprocessing:
    native = variant.preprocessing
    return dataclasses.replace(
        native,
        num_frames=native.num_frames if num_frames is None else num_frames,
        image_size=native.image_size if image_size is None else image_size,
    )


def _semantic_stages(semantic: str | SemanticConfig | None) -> tuple[SemanticConfig, ...]:
    if semantic is None:
        return ()
    return (semantic,) if isinstance(semantic, SemanticConfig) else parse_semantic(semantic)
