"""A model as HF transformers has it: what the files of its folder hold."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

OWN_KEY = "stvit_video"
"""Entry of `config.json` for fields of `Preprocessing` that transformers has no words for."""


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
