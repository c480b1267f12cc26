"""How a model was trained to read videos."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.models.checkpoint import find_card
from stvit_video.settings.data import DataConfig
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.views import ViewConfig


def trained_settings(
    checkpoint: str | Path, *, views: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[DataConfig, ViewConfig]:
    """Return how to read videos: as the training of a checkpoint did, but for what is given.

    None means not given; what neither says has its default, sampling that of published weights.

    Raises:
        ConfigError: a value is out of range.
        CheckpointError: one of the checkpoint is.
    """
    card = find_card(checkpoint)
    trained = {} if card is None else card.extra.get("config", {})
    usual = DataConfig() if card is None else DataConfig(sampling=card.preprocessing.sampling)
    try:
        own = replace(usual, **_stated(trained, "data", _READING))
        own_views = ViewConfig(**_stated(trained, "views", tuple(ViewConfig.__annotations__)))
    except ConfigError as error:
        raise CheckpointError(f"{checkpoint}: model.json says {error}; mend it there") from error
    return replace(own, **_given(data)), replace(own_views, **_given(views))


def trained_detector(checkpoint: str | Path) -> DetectorConfig:
    """Return how the training of a detector of actions cut clips from films.

    Raises:
        CheckpointError: its settings are out of range.
    """
    card = find_card(checkpoint)
    trained = {} if card is None else card.extra.get("config", {})
    try:
        stated = _stated(trained, "detector", ("max_size", "first_second"))
        return DetectorConfig(name="actions", **stated)
    except ConfigError as error:
        raise CheckpointError(f"{checkpoint}: model.json says {error}; mend it there") from error


_READING = ("sampling", "target_fps", "short_video", "backend")
"""How clips are read; where the videos of the training were, and how fast, is not taken over."""


def _stated(trained: Any, section: str, names: Sequence[str]) -> dict[str, Any]:
    """Return what the settings of a training, which may be anyone's, say of `names`."""
    values = trained.get(section, {}) if isinstance(trained, Mapping) else {}
    values = values if isinstance(values, Mapping) else {}
    return _given({name: values.get(name) for name in names})


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
