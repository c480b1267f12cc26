"""A model as HF transformers has it: what the files of its folder hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from stvit_video.errors import CheckpointError
from stvit_video.untrusted import read_json

OWN_KEY = "stvit_video"
"""Entry of `config.json` for fields of `Preprocessing` that transformers has no words for."""

MOST_CONFIG_BYTES = 4 * 2**20
"""Of a `config.json`: names of 21,843 classes take 1.2 MB, both ways."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What a family's `export` makes of a model; none of it needs transformers."""

    architecture: str
    """Class of transformers that reads it."""
    config: dict[str, Any]
    """For `config.json`."""
    weights: dict[str, Tensor]
    """Under the names of that class, on the CPU."""
    processor: dict[str, Any]
    """How frames become a clip."""
    processor_file: str = "preprocessor_config.json"
    """Where the hub keeps that."""
    notes: tuple[str, ...] = ()
    """What is not said as it was, in lines like those of `KeyReport`."""


def is_exported(folder: Path) -> bool:
    """Say whether the `config.json` of a folder is one that we wrote."""
    path = folder / "config.json"
    if not path.exists():
        return False
    config = read_json(path, CheckpointError, most=MOST_CONFIG_BYTES)
    return isinstance(config, dict) and OWN_KEY in config
