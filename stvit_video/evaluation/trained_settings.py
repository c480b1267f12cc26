"""How a model was trained to read videos."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stvit_video.models.checkpoint import find_card
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig


def trained_settings(
    checkpoint: str | Path, *, views: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[DataConfig, ViewConfig]:
    """Return how to read videos: as the training of a checkpoint did, but for what is given.

    None means not given; what neither says has its default, sampling that of published weights.

    Raises:
        ConfigError: a value is out of range.
    """
    card = find_card(checkpoint)
    trained = {} if card is None else card.extra.get("config", {})
    usual = DataConfig() if card is None else DataConfig(sampling=card.preprocessing.sampling)
    own = replace(usual, **_given(trained.get("data", {})))
    return (
        replace(own, **_given(data)),
        ViewConfig(**(_given(trained.get("views", {})) | _given(views))),
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
