"""Checkpoints of ours: a folder with `model.safetensors` and `model.json`, written in one step."""

import os
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from stvit_video.errors import CheckpointError
from stvit_video.models.card import WEIGHTS_FILE, ModelCard, find_overrides, read_card, write_card
from stvit_video.models.registry import create_model, find_variant
from stvit_video.models.variant import Recipe, recipe_of


def write_checkpoint(
    model: nn.Module,
    folder: str | Path,
    *,
    labels: tuple[str, ...] | None = None,
    source: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a model of `create_model` or `sparsify` into a folder, which is made where needed.

    `labels` and `source` default to those of the model; `extra` is what the writer wants kept: a
    run's configuration, metrics. Each file appears whole or not at all, the card last.

    Raises:
        CheckpointError: the model was not made by us, or the labels do not fit its classes.
    """
    recipe = recipe_of(model)
    if recipe is None:
        raise CheckpointError(
            f"cannot write {type(model).__name__}: only models of create_model and sparsify are"
            " written"
        )
    names: tuple[str, ...] = getattr(model, "labels", ()) if labels is None else tuple(labels)
    card = _card(recipe, names, source, extra or {}, _keeps_class_token(model))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS_FILE
    partial_path = folder / f".{WEIGHTS_FILE}.{os.getpid()}"
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, partial_path, metadata={"format": "pt"})
    os.replace(partial_path, path)
    write_card(card, folder)
    return path


def load_model(folder: str | Path) -> nn.Module:
    """Build the model of a folder that `write_checkpoint` wrote, with its weights, in eval mode.

    `model.preprocessing` and `model.labels` are those of the folder.

    Raises:
        CheckpointError: the folder is incomplete, or weights and card do not agree.
    """
    if not Path(folder).is_dir():
        raise CheckpointError(f"{folder} is no checkpoint folder; train writes one, convert too")
    return create_model(read_card(Path(folder)).model, pretrained=folder).eval()


def _card(
    recipe: Recipe,
    labels: tuple[str, ...],
    source: str | None,
    extra: dict[str, Any],
    class_token: bool | None,
) -> ModelCard:
    options = recipe.options
    return ModelCard(
        model=recipe.name,
        num_classes=options.num_classes,
        preprocessing=options.preprocessing,
        semantic="+".join(map(str, options.semantic)) or None,
        reduction=None if options.reduction is None else str(options.reduction),
        class_token=class_token,
        overrides=find_overrides(recipe.variant, find_variant(recipe.name)),
        labels=labels,
        source=recipe.variant.source if source is None else source,
        license=recipe.variant.license,
        extra=extra,
    )


def _keeps_class_token(model: nn.Module) -> bool | None:
    """Say whether there is a class token; None for networks that know none."""
    embed = getattr(model, "embed", None)
    return getattr(embed, "cls_token", None) is not None if hasattr(embed, "cls_token") else None
