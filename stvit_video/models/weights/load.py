"""Put published weights into a network: rename, adapt, account for every key, refuse the rest."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.build import check_sizes
from stvit_video.models.card import (
    CARD_FILE,
    DETECTOR,
    MULTI_LABEL,
    WEIGHTS_FILE,
    apply_overrides,
    read_card,
)
from stvit_video.models.key_report import KeyReport
from stvit_video.models.layers.attentive import num_pooler_blocks
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import Variant
from stvit_video.models.weights.adapt import adapt
from stvit_video.models.weights.describe import Description, describe_folder
from stvit_video.models.weights.files import find_files
from stvit_video.models.weights.heads import fit_head, fit_pooler
from stvit_video.models.weights.names import Weights, unwrap
from stvit_video.models.weights.read import read_shards
from stvit_video.settings.model import ModelConfig
from stvit_video.tokens.grid import Grid


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A checkpoint, read and renamed, with what it says of the model that it belongs to."""

    source: str
    """File, folder or hub id."""
    weights: Weights
    """Tensors under our names."""
    variant: Variant
    """The row of the model, with what the checkpoint sets otherwise."""
    config: ModelConfig
    """Its model and the setting that it was trained with; None for what the weights do not say."""
    labels: tuple[str, ...] = ()
    """Class names by index; empty when unknown."""
    multi_label: bool = False
    """Whether its head was trained on videos of several classes."""
    is_image: bool = False
    """Weights of an image model, to be inflated."""

    def complete(self, config: ModelConfig) -> ModelConfig:
        """Return the settings of a model with what the checkpoint has where nothing is asked."""
        for name in ("class_token", "attentive_blocks", "attentive_layers"):
            if getattr(config, name) is None:
                config = dataclasses.replace(config, **{name: getattr(self.config, name)})
        if config.semantic is None and config.reduction is None:
            setting = {name: getattr(self.config, name) for name in ("semantic", "reduction")}
            config = dataclasses.replace(config, **setting)
        return config


def read_pretrained(
    source: str | Path,
    name: str,
    variant: Variant,
    *,
    probe: str | Path | None = None,
    entry: str | None = None,
) -> Pretrained:
    """Read weights for the model `name`: a file, a folder or a hub id.

    `probe` is the file of a pooler and a head, where they were trained and saved on their own.
    `entry` is that of a file which holds several, as `model_ema`.

    Raises:
        CheckpointError: they cannot be read, or are of another model.
    """
    files = find_files(source)
    if files.weights[0].name == WEIGHTS_FILE and (files.folder / CARD_FILE).exists():
        if probe is not None:
            raise CheckpointError(f"{source} was written by us with its head; leave {probe} out")
        if entry is not None:
            raise CheckpointError(f"{source} was written by us, without entries; leave {entry} out")
        return _read_ours(files.folder, files.source, name, variant)
    weights = unwrap(read_shards(files.weights, entry), files.source)
    if probe is not None:
        weights |= _read_probe(probe)
    description = describe_folder(files.folder, files.source)
    colours = {**_take_colours(weights), **description.preprocessing}
    description = dataclasses.replace(description, preprocessing=colours)
    if all(key in weights for key in ("embed.patch.proj.weight", "blocks.0.norm1.weight")):
        return _describe(files.source, name, weights, variant, description, is_image=False)
    renamed, is_image = _rename(weights, name, variant, files.source)
    if not is_image:
        title = f"{files.source} does not fit {name}"
        variant = dataclasses.replace(variant, **state_facts(variant, weights, title))
        description.check_structure(variant, title)
    return _describe(files.source, name, renamed, variant, description, is_image=is_image)


def _take_colours(weights: Weights) -> dict[str, Any]:
    """Take mean and deviation of the colours, in 0..255, out of the weights of mmaction2."""
    found = {
        name: weights.pop(f"data_preprocessor.{name}")
        for name in ("mean", "std")
        if f"data_preprocessor.{name}" in weights
    }
    return {name: tuple((x.flatten().double() / 255).tolist()) for name, x in found.items()}


def state_facts(variant: Variant, weights: Weights, title: str) -> dict[str, Any]:
    """Return the fields that published weights state otherwise than a row.

    Raises:
        CheckpointError: they state what no row can say.
    """
    if variant.facts is None:
        return {}
    try:
        return variant.facts(weights)
    except CheckpointError as error:
        raise CheckpointError(f"{title}: {error}") from error


def _read_probe(source: str | Path) -> Weights:
    weights = read_shards(find_files(source).weights)
    if not any("pooler." in key for key in weights):
        raise CheckpointError(
            f"{source} holds no attentive probe: its first key is {next(iter(weights))}"
        )
    return weights


def _read_ours(folder: Path, source: str, name: str, variant: Variant) -> Pretrained:
    card = read_card(folder)
    if DETECTOR in card.extra:
        raise CheckpointError(f"{source} holds a detector, not a classifier")
    if card.config.name != name:
        raise CheckpointError(f"{source} holds weights of {card.config.name}, not of {name}")
    row = dataclasses.replace(
        apply_overrides(variant, card.overrides, folder / CARD_FILE),
        preprocessing=card.preprocessing,
        num_classes=card.num_classes,
        source=card.source,
        license=card.license,
    )
    check_sizes(card.config, row, folder / WEIGHTS_FILE)
    return Pretrained(
        source=source,
        weights=read_shards((folder / WEIGHTS_FILE,)),
        variant=row,
        config=card.config,
        labels=card.labels,
        multi_label=bool(card.extra.get(MULTI_LABEL, False)),
    )


def _rename(weights: Weights, name: str, variant: Variant, source: str) -> tuple[Weights, bool]:
    """Rename by the family's rules, or by those of the image model that it inflates."""
    reason = "no weights of it were published"
    for is_image, rename in ((False, variant.rename), (True, variant.image_rename)):
        if rename is None:
            continue
        try:
            return rename(weights), is_image
        except CheckpointError as error:
            reason = str(error) if not is_image else reason
    raise CheckpointError(f"{source} does not fit {name}: {reason}")


def _describe(
    source: str,
    name: str,
    weights: Weights,
    variant: Variant,
    description: Description,
    *,
    is_image: bool,
) -> Pretrained:
    num_classes = description.num_classes
    head = weights.get("head.weight")
    if head is not None:
        num_classes = head.shape[0]
    if description.labels and len(description.labels) != num_classes:
        raise CheckpointError(
            f"{source} names {len(description.labels)} labels, but its head has {num_classes}"
            " classes; mend the labels in its config.json"
        )
    details = {} if is_image else description.details_for(variant)
    try:
        sizes = description.preprocessing_for(variant.preprocessing, is_image=is_image)
    except ConfigError as error:
        raise CheckpointError(f"{source}: {error}") from error
    row = dataclasses.replace(
        variant,
        **details,
        preprocessing=sizes,
        num_classes=variant.num_classes if num_classes is None else num_classes,
        source=source,
        license=description.license or variant.license,
    )
    return Pretrained(
        source=source,
        weights=weights,
        variant=row,
        config=ModelConfig(
            name=name,
            class_token="embed.cls_token" in weights or None,
            attentive_blocks=num_pooler_blocks(weights) or (0 if num_classes == 0 else None),
        ),
        labels=description.labels if head is not None else (),
        multi_label=description.multi_label,
        is_image=is_image,
    )


def load_pretrained(model: VideoModel, checkpoint: Pretrained) -> VideoModel:
    """Fill a model that was built for the checkpoint; labels come along where the head does.

    Raises:
        CheckpointError: keys are missing, left over, or of another shape.
    """
    size = checkpoint.variant.preprocessing
    source_grid = None
    if not checkpoint.is_image and (patch := getattr(model.embed, "patch", None)) is not None:
        source_grid = patch.grid(size.num_frames, size.image_size, size.image_size)
    report = fill(model, checkpoint.weights, checkpoint.source, source_grid)
    is_new = "head.weight" in report.new or "head.weight" in report.dropped
    model.labels = () if is_new else checkpoint.labels
    model.multi_label = checkpoint.multi_label and not is_new
    model.key_report = report
    return model


def fill(model: VideoModel, weights: Weights, source: str, source_grid: Grid | None) -> KeyReport:
    """Load renamed weights; every key is loaded, or explained in the report that comes back.

    A head of another number of classes is replaced by the model's new one, and a line is logged.

    Raises:
        CheckpointError: keys are missing, left over, or of another shape.
    """
    name = model.name
    adapted, report = adapt(weights, model, source_grid)
    target = model.state_dict()
    fit_pooler(adapted, target, report)
    fit_head(adapted, target, report, f"{source} for {name}")
    for key in target:
        if key not in adapted and ".generator." in key:
            report.new[key] = "semantic tokens, to be trained"
    missing = [key for key in target if key not in adapted and key not in report.new]
    unexpected = [key for key in adapted if key not in target]
    for keys, fault in ((missing, "they lack"), (unexpected, "they have")):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise CheckpointError(f"{source} does not fit {name}: {fault} {keys[0]}{more}")
    for key, value in adapted.items():
        flat = value.flatten(1) if value.ndim > 2 else value  # convolutions load as linear layers
        if target[key].shape not in (value.shape, flat.shape):
            raise CheckpointError(
                f"{source} does not fit {name}: {key} is {tuple(value.shape)}, the model's"
                f" {tuple(target[key].shape)}"
            )
    model.load_state_dict(adapted, strict=False)
    return report
