"""Checkpoints of ours: a folder with `model.safetensors` and `model.json`, written in one step."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from stvit_video.errors import CheckpointError
from stvit_video.files import replacing
from stvit_video.models.card import (
    CARD_FILE,
    MULTI_LABEL,
    WEIGHTS_FILE,
    ModelCard,
    find_overrides,
    read_card,
    write_card,
)
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import VARIANTS, create_model, find_variant
from stvit_video.models.variant import Recipe
from stvit_video.models.weights.describe import describe_folder
from stvit_video.models.weights.files import CheckpointFiles, find_files
from stvit_video.models.weights.foreign import find_row
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.paths import check_checkpoint


def write_checkpoint(
    model: VideoModel,
    folder: str | Path,
    *,
    weights: dict[str, Tensor] | None = None,
    labels: tuple[str, ...] | None = None,
    source: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a model of `create_model` or `sparsify` into a folder, which is made where needed.

    `weights`, `labels` and `source` default to those of the model; `extra` is what the writer wants
    kept: a run's configuration, metrics. Each file appears whole or not at all, the card last.

    Raises:
        CheckpointError: the model was not made by us, the labels do not fit its classes, or the
            folder holds a model of another library.
        WriteError: the disk refuses a file; a model that was there before still is.
    """
    recipe = getattr(model, "recipe", None)
    if recipe is None:
        raise CheckpointError(
            f"cannot write {type(model).__name__}: only models of create_model and sparsify are"
            " written"
        )
    names = model.labels if labels is None else tuple(labels)
    kept = {MULTI_LABEL: True} if model.multi_label else {}
    card = _card(recipe, names, source, kept | (extra or {}), _keeps_class_token(model))
    return write_folder(Path(folder), card, model.state_dict() if weights is None else weights)


def write_folder(folder: Path, card: ModelCard, weights: dict[str, Tensor]) -> Path:
    """Write weights and their card, which is last; returns the file of the weights.

    Raises:
        CheckpointError: the folder holds a model of another library.
        WriteError: the disk refuses a file; a model that was there before still is.
    """
    if (folder / "config.json").exists() and not (folder / CARD_FILE).exists():
        raise CheckpointError(
            f"{folder} holds config.json of a model of another library; choose another folder"
        )
    path = folder / WEIGHTS_FILE
    whole = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    with replacing(path, SafetensorError) as partial_path:
        save_file(whole, partial_path, metadata={"format": "pt"})
    write_card(card, folder)
    return path


def load_model(source: str | Path) -> VideoModel:
    """Build the model of a run folder, a converted folder or a hub id, in eval mode.

    Folders of HF transformers and timm are read, too, where `config.json` says what they are.
    `model.preprocessing` and `model.labels` are those of the folder.

    Raises:
        MissingFileError: there is no such folder.
        CheckpointError: it holds no model, or the weights are those of another one.
    """
    return create_model(find_name(source), pretrained=source).eval()


def find_name(source: str | Path) -> str:
    """Say which model a folder or a hub id holds, by its name in the registry.

    Raises as `load_model`.
    """
    files = _find(source)
    card = _card_in(files)
    if card is not None:
        return card.config.name
    name = find_row(describe_folder(files.folder, files.source), VARIANTS)
    if name is None:
        raise CheckpointError(
            f"{source} does not say which model it holds; name it with"
            f" stvit-video convert {source} --model NAME"
        )
    return name


def find_card(source: str | Path) -> ModelCard | None:
    """Read the card of a checkpoint; None where another library wrote it.

    Raises as `load_model`.
    """
    return _card_in(_find(source))


def _card_in(files: CheckpointFiles) -> ModelCard | None:
    return read_card(files.folder) if (files.folder / CARD_FILE).exists() else None


def _find(source: str | Path) -> CheckpointFiles:
    check_checkpoint("checkpoint", source)
    return find_files(source)


def _card(
    recipe: Recipe,
    labels: tuple[str, ...],
    source: str | None,
    extra: dict[str, Any],
    class_token: bool | None,
) -> ModelCard:
    options = recipe.options
    return ModelCard(
        config=ModelConfig(
            name=recipe.name,
            semantic="+".join(map(str, options.semantic)) or None,
            reduction=None if options.reducer is None else str(options.reducer),
            class_token=class_token,
            attentive_blocks=None
            if options.attentive_blocks == recipe.variant.attentive_blocks
            else options.attentive_blocks,
            attentive_layers=options.attentive_layers or None,
        ),
        num_classes=options.num_classes,
        preprocessing=options.preprocessing,
        overrides=find_overrides(recipe.variant, find_variant(recipe.name)),
        labels=labels,
        source=recipe.variant.source if source is None else source,
        license=recipe.variant.license,
        extra=extra,
    )


def _keeps_class_token(model: VideoModel) -> bool | None:
    """Say whether there is a class token; None for networks that know none."""
    embed = getattr(model, "embed", None)
    return getattr(embed, "cls_token", None) is not None if hasattr(embed, "cls_token") else None
