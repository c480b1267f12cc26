"""What a checkpoint folder says of its model: `model.json`, beside `model.safetensors`."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from stvit_video.errors import CheckpointError, ConfigError, did_you_mean
from stvit_video.files import write_file
from stvit_video.models.variant import Variant
from stvit_video.settings.bounds import Classes, Range, fit_value, shorten
from stvit_video.settings.model import ModelConfig, Preprocessing
from stvit_video.untrusted import read_json

CARD_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"
MULTI_LABEL = "multi_label"
"""Key in `extra` of a model whose training videos may be of several classes."""
DETECTOR = "detector"
"""Key in `extra` of a network below a detector: the settings of that."""
ACTION_IDS = "action_ids"
"""Key in `extra` of a classifier that reads boxes: the numbers of its actions in annotations."""
FORMAT = "stvit-video 1"

ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
}
"""Activations by the name that the card uses."""

_SETTING = ("semantic", "reduction", "class_token", "attentive_blocks", "attentive_layers")
"""Fields of `ModelConfig` that a card keeps; the sizes of clips are in its preprocessing."""

_ROW_FIELDS = (
    *("preprocessing", "num_classes", "source", "license"),
    *("rename", "image_rename", "facts", "fit", "export"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """All that is needed to build a model again and to use it."""

    config: ModelConfig
    """Name in the registry, and the setting that it was trained with."""
    num_classes: int
    """Width of the head; 0 for none."""
    preprocessing: Preprocessing
    """What a clip must look like."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Sizes that differ from the row of `model` in the registry."""
    labels: tuple[str, ...] = ()
    """Class names by index; empty when unknown."""
    source: str = ""
    """File, folder or hub id that the weights came from, or the paper of the model."""
    license: str = ""
    """Licence of the weights."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What the writer adds: the configuration of a run, its metrics."""

    def __post_init__(self) -> None:
        check_labels(self.labels, self.config.name, self.num_classes)


def check_labels(labels: tuple[str, ...], name: str, num_classes: int) -> None:
    """Refuse names of classes that are not as many as the head of the model has.

    Raises:
        CheckpointError: there are some, but more or fewer.
    """
    if labels and len(labels) != num_classes:
        raise CheckpointError(
            f"labels ({len(labels)}) of {name} must be as many as its classes ({num_classes})"
        )


def write_card(card: ModelCard, folder: str | Path) -> Path:
    """Write `model.json` into the folder, in one step."""
    path = Path(folder) / CARD_FILE
    values = dataclasses.asdict(card)
    del values["config"]
    setting = {name: getattr(card.config, name) for name in _SETTING}
    for name in ("attentive_blocks", "attentive_layers"):
        if setting[name] is None:
            del setting[name]  # version 0.1 does not know it
    for name, usual in (("short_side", 1), ("sampling", "dense")):
        if values["preprocessing"][name] == usual:
            del values["preprocessing"][name]  # nor these
    record = {"format": FORMAT, "model": card.config.name, **setting, **values}
    write_file(path, json.dumps(record, indent=2) + "\n")
    return path


def read_card(folder: str | Path) -> ModelCard:
    """Read `model.json` of a folder.

    Raises:
        CheckpointError: there is none, or it does not say what it should.
    """
    path = Path(folder) / CARD_FILE
    try:
        record = read_json(path, CheckpointError)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} holds no {CARD_FILE}; write one with stvit-video convert"
        ) from error
    if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
        raise CheckpointError(f"{path} must have the format {FORMAT!r}; was it written by us?")
    return _card_of(record, path)


def _card_of(record: dict[str, Any], path: Path) -> ModelCard:
    own = [entry.name for entry in dataclasses.fields(ModelCard) if entry.name != "config"]
    known = ["model", *_SETTING, *own]
    for key in record:
        if key not in known:
            raise CheckpointError(f"{path} has an unknown key {key!r}{did_you_mean(key, known)}")
    try:
        fields = {
            name: fit_value(name, record[name], kind) for name, kind in _PLAIN if name in record
        }
        preprocessing = Preprocessing(**_object(record, "preprocessing"))
        setting: dict[str, Any] = {name: record.get(name) for name in _SETTING}
        return ModelCard(
            **fields,
            config=ModelConfig(name=record["model"], **setting),
            preprocessing=preprocessing,
            labels=tuple(_texts(record.get("labels", []))),
            overrides=_object(record, "overrides"),
            extra=_object(record, "extra"),
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is incomplete ({error})") from error


_PLAIN: tuple[tuple[str, Any], ...] = (("num_classes", Classes), ("source", str), ("license", str))


def _object(record: dict[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{name} ({shorten(value)}) must be names with values in braces")
    return value


def _texts(labels: Any) -> list[str]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ConfigError(f"labels ({shorten(labels)}) must be a list of text, one a class")
    return labels


def find_overrides(variant: Variant, row: Variant) -> dict[str, Any]:
    """Return the sizes in which a variant differs from its row, as JSON can hold them."""
    found: dict[str, Any] = {}
    for entry in dataclasses.fields(variant):
        if entry.name in _ROW_FIELDS:
            continue
        value, usual = getattr(variant, entry.name), getattr(row, entry.name)
        if callable(value):
            value, usual = activation_name(value), activation_name(usual)
        if value != usual:
            found[entry.name] = value
    return found


def apply_overrides(row: Variant, overrides: dict[str, Any], path: Path) -> Variant:
    """Return the row with the sizes of the card in `path`.

    Raises:
        CheckpointError: the row has no such size, or no network has one like that.
    """
    kinds = {e.name: e.type for e in dataclasses.fields(row) if e.name not in _ROW_FIELDS}
    values: dict[str, Any] = {}
    for name, value in overrides.items():
        if name not in kinds:
            raise CheckpointError(f"{path}: unknown size {name!r}{did_you_mean(name, [*kinds])}")
        if callable(getattr(row, name)):
            if not isinstance(value, str) or value not in ACTIVATIONS:
                rule = f"must be one of {', '.join(ACTIVATIONS)}"
                raise CheckpointError(f"{path}: size {name} ({shorten(value)}) {rule}")
            values[name] = ACTIVATIONS[value]
            continue
        try:
            values[name] = fit_value(name, value, kinds[name])
            _check_size(name, values[name])
        except ConfigError as error:
            raise CheckpointError(f"{path}: size {error}") from error
    return dataclasses.replace(row, **values)


def _check_size(name: str, value: Any) -> None:
    """Refuse numbers that no network has, before one of that size is built."""
    values = value if isinstance(value, tuple) else (value,)
    numbers = [number for number in values if isinstance(number, int | float)]
    rule = Range(least=0, most=1000 if "depth" in name else 2**17)
    if not all(number in rule for number in numbers) or math.prod(numbers) > 2**20:
        raise ConfigError(f"{name} ({shorten(value)}) must be {rule}, and at most 2**20 in all")


def activation_name(activation: Callable[..., nn.Module]) -> str:
    """Return the name of an activation in `ACTIVATIONS`."""
    return "gelu_tanh" if getattr(activation(), "approximate", "none") == "tanh" else "gelu"
