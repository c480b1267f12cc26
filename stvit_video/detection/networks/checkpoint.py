"""Folders of trained detectors: `model.safetensors` and a `model.json` that says what they are."""

import dataclasses
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from stvit_video.detection.networks.build import Detector, wire
from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.build import build, held_shapes, options_of, trying_sizes
from stvit_video.models.card import (
    CARD_FILE,
    DETECTOR,
    WEIGHTS_FILE,
    ModelCard,
    apply_overrides,
    find_overrides,
)
from stvit_video.models.checkpoint import find_card, write_folder
from stvit_video.models.registry import find_variant
from stvit_video.models.variant import Recipe, Variant
from stvit_video.models.weights.files import find_files
from stvit_video.settings.bounds import Classes, fit_value
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig

LABELS = "detector_labels"
"""Key in `extra` of the names of the classes, which are not those of the network."""


def write_detector(
    detector: Detector,
    folder: str | Path,
    *,
    labels: tuple[str, ...] | None = None,
    weights: dict[str, Tensor] | None = None,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a detector into a folder, each file whole or not at all, the card last.

    `weights` and `labels` default to those of the detector; `extra` is what the writer wants kept.

    Raises:
        CheckpointError: the labels do not fit its classes, or the folder holds another model.
        WriteError: the disk refuses a file; a detector that was there before still is.
    """
    recipe, num_classes = detector.network.recipe, detector.num_classes
    assert recipe is not None
    labels = detector.labels if labels is None else tuple(labels)
    _check_labels(labels, num_classes, str(folder))
    options = recipe.options
    card = ModelCard(
        config=ModelConfig(name=recipe.name, semantic="+".join(map(str, options.semantic)) or None),
        num_classes=0,
        preprocessing=options.preprocessing,
        overrides=find_overrides(recipe.variant, find_variant(recipe.name)),
        source=recipe.variant.source,
        license=recipe.variant.license,
        extra={
            DETECTOR: dataclasses.asdict(detector.settings) | {"num_classes": num_classes},
            **({LABELS: list(labels)} if labels else {}),
            **(extra or {}),
        },
    )
    weights = detector.state_dict() if weights is None else weights
    return write_folder(Path(folder), card, weights)


def find_detector(source: str | Path) -> ModelCard | None:
    """Read the card of a folder or a hub id; None where it is of no detector of ours."""
    try:
        card = find_card(source)
    except CheckpointError:
        return None
    return card if card is not None and DETECTOR in card.extra else None


def load_detector(source: str | Path) -> Detector:
    """Build the detector of a run folder or a hub id, in eval mode.

    Raises:
        MissingFileError: there is no such folder.
        CheckpointError: it holds no detector, or its files do not belong together.
    """
    card = find_detector(source)
    if card is None:
        raise CheckpointError(f"{source} holds no detector; train one with --detector.name")
    folder = find_files(source).folder
    settings, num_classes, labels = _read_settings(card, folder)
    weights = folder / WEIGHTS_FILE
    variant = dataclasses.replace(
        apply_overrides(find_variant(card.config.name), card.overrides, folder / CARD_FILE),
        preprocessing=card.preprocessing,
    )
    with trying_sizes(variant, folder):
        wanted = _build(card, variant, settings, num_classes).state_dict()
    _check_shapes(wanted, weights)
    detector = _build(card, variant, settings, num_classes)
    detector.load_state_dict(load_file(weights))
    detector.labels = labels
    return detector.eval()


def _build(
    card: ModelCard, variant: Variant, settings: DetectorConfig, num_classes: int
) -> Detector:
    config = dataclasses.replace(card.config, attentive_blocks=0)
    options = options_of(config, variant, num_classes=0, preprocessing=card.preprocessing)
    network = build(Recipe(name=card.config.name, variant=variant, options=options))
    return wire(network, settings, num_classes=num_classes)


def _read_settings(card: ModelCard, folder: Path) -> tuple[DetectorConfig, int, tuple[str, ...]]:
    """Read what the card says of the detector.

    Raises:
        CheckpointError: it says what cannot be.
    """
    path, record = folder / CARD_FILE, card.extra[DETECTOR]
    kinds = {entry.name: entry.type for entry in dataclasses.fields(DetectorConfig)}
    if not isinstance(record, dict) or not record.keys() <= {*kinds, "num_classes"}:
        raise CheckpointError(f"{path}: {DETECTOR} must hold {', '.join(kinds)} and num_classes")
    try:
        values = {
            name: fit_value(name, record[name], kinds[name]) for name in kinds & record.keys()
        }
        num_classes = fit_value("num_classes", record.get("num_classes"), Classes)
        labels = []
        if LABELS in card.extra:
            labels = fit_value(LABELS, card.extra[LABELS], list[str])
        _check_labels(tuple(labels), num_classes, str(folder))
        return DetectorConfig(**values), num_classes, tuple(labels)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _check_shapes(wanted: dict[str, Tensor], path: Path) -> None:
    """Compare the tensors of a detector with those that a file holds; reads none.

    Raises:
        CheckpointError: they are not the same.
    """
    held = held_shapes(path)
    for key in sorted(wanted.keys() | held.keys()):
        own = tuple(wanted[key].shape) if key in wanted else "none"
        if own != held.get(key, "none"):
            raise CheckpointError(
                f"{path.parent} does not fit together: {CARD_FILE} makes {key} {own}, but"
                f" {path.name} has it as {held.get(key, 'none')}; get both files from one place"
            )


def _check_labels(labels: tuple[str, ...], num_classes: int, place: str) -> None:
    if labels and len(labels) != num_classes - 1:
        raise CheckpointError(
            f"{place}: labels ({len(labels)}) must be as many as its classes without the background"
            f" ({num_classes - 1})"
        )
