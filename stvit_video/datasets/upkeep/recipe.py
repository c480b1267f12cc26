"""Read from the settings of a training how it reads its videos."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.recipes import find_name, find_recipes, recipe_folder
from stvit_video.untrusted import read_settings

Section = TypeVar("Section", DataConfig, ModelConfig)


def read_recipe(word: str) -> tuple[DataConfig, ModelConfig]:
    """Read a recipe by its name, or any file such as `train --config` takes.

    Raises:
        ConfigError: there is none, or it is none of a training.
    """
    path = Path(word)
    if not path.is_file():
        found = find_recipes(recipe_folder())
        path = found[find_name(word, list(found))].path
    settings = read_settings(path, lambda why: ConfigError(f"recipe {why}"))
    model = settings.get("model")
    if not isinstance(model, dict) or "name" not in model:
        raise ConfigError(f"recipe {path} must hold the settings of a training, such as model.name")
    data = _section(path, "data", DataConfig, settings.get("data") or {})
    return data, _section(path, "model", ModelConfig, model)


def _section(path: Path, name: str, kind: type[Section], values: dict[str, Any]) -> Section:
    if not isinstance(values, dict):
        raise ConfigError(f"recipe {path} must hold settings by name in {name}, not {values!r}")
    known = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        if key not in known:
            raise ConfigError(
                f"recipe {path} has an unknown setting {name}.{key}{did_you_mean(key, known)}"
            )
    return kind(**values)
