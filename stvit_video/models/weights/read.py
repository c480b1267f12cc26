"""Read tensors from a file without running any code that the file may hold."""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stvit_video.errors import CheckpointError
from stvit_video.models.weights.pickles import load_pickle, unreadable
from stvit_video.settings.paths import SAFETENSORS

Weights = dict[str, Tensor]

WEIGHT_ENTRIES = (
    *("model_state", "model", "module", "state_dict", "model_state_dict", "model_ema"),
    "state_dict_ema",
    *("ema_encoder", "target_encoder", "encoder", "classifiers"),
)
"""Where published files keep their weights, beside optimiser and settings; the first one counts."""

MOST_NESTED = 8
"""Entries inside each other; published files have two."""

_VIEWS = 4
"""Bytes that the tensors of a file may name for each that it has."""


OTHER_FORMATS = {
    ".npz": "a file of NumPy arrays, as JAX and Flax write for ViT and ViViT",
    ".npy": "a file of one NumPy array",
    ".msgpack": "a file of Flax",
    ".h5": "a file of Keras",
    ".onnx": "a network of ONNX",
}
"""What weights come in besides, by the ending of the file."""

_log = logging.getLogger(__name__)


def read_weights(path: Path, entry: str | None = None) -> Weights:
    """Read one file, safetensors or pickle -> tensors on the CPU by name.

    `entry` is the one to open where a file holds several, such as `model_ema`; None opens the first
    of `WEIGHT_ENTRIES` and logs which others there are.

    Raises:
        CheckpointError: it is truncated, no checkpoint, holds no tensors or no such entry, or asks
            to run code.
    """
    if path.suffix in OTHER_FORMATS:
        raise CheckpointError(
            f"{path} is {OTHER_FORMATS[path.suffix]}, which is not read; give the same weights as"
            " PyTorch has them: a folder of HF transformers with safetensors, such as"
            " google/vivit-b-16x2-kinetics400, or what its conversion script of the model writes"
        )
    if path.suffix == SAFETENSORS:
        if entry is not None:
            raise _no_entry(path, entry, [])
        try:
            weights = load_file(path)
        except (SafetensorError, OSError, LookupError, ValueError, RuntimeError) as error:
            raise unreadable(path) from error
    else:
        weights = _find_weights(load_pickle(path), path, entry)
        _check_numbers(weights, path)
    if not weights:
        raise CheckpointError(f"{path} holds no tensors; is it a checkpoint?")
    return weights


def read_shards(paths: tuple[Path, ...], entry: str | None = None) -> Weights:
    """Read all files of a checkpoint, of each the `entry`, into one dictionary."""
    weights: Weights = {}
    for path in paths:
        weights.update(read_weights(path, entry))
    return weights


def _first_of(entry: Any) -> Any:
    """Open a list: probes of V-JEPA 2 are the first of the `classifiers` that were trained."""
    return entry[0] if isinstance(entry, list) and entry else entry


def _find_weights(content: Any, path: Path, entry: str | None = None) -> Weights:
    """Open the entry that holds the weights; files of training scripts nest them."""
    if entry is not None:
        inner = _first_of(content.get(entry)) if isinstance(content, Mapping) else None
        if not isinstance(inner, Mapping):
            raise _no_entry(path, entry, _entries(content))
        content = inner
    depth = 0
    while isinstance(content, Mapping) and (found := _entries(content)):
        if (depth := depth + 1) > MOST_NESTED:
            raise CheckpointError(
                f"{path} nests entries such as {found[0]} over {MOST_NESTED} deep or in a circle;"
                " get the weights as safetensors"
            )
        if len(found) > 1:
            _log.warning(
                "%s holds weights in %s: %s is read; pretrained_entry chooses another",
                *(path, ", ".join(found), found[0]),
            )
        content = _first_of(content[found[0]])
    if not isinstance(content, (dict, OrderedDict)):
        raise CheckpointError(f"{path} holds {type(content).__name__}, not weights by name")
    return {
        str(name): value
        for name, value in content.items()
        if isinstance(name, str | int) and isinstance(value, Tensor)
    }


def _check_numbers(weights: Weights, path: Path) -> None:
    """Refuse tensors that claim more numbers than their file holds, before one is copied.

    Views of one row, as those of tied layers, may count several times, but not by the thousand.

    Raises:
        CheckpointError: naming the first that makes it too many, or is no plain tensor.
    """
    claimed, most = 0, _VIEWS * path.stat().st_size + 2**20
    for name, value in weights.items():
        if value.layout is not torch.strided or value.device.type != "cpu" or value.is_nested:
            raise CheckpointError(
                f"{path}: {name} is no plain tensor but {value.layout} on {value.device}; get the"
                " weights as safetensors"
            )
        claimed += value.numel() * value.element_size()
        if claimed > most:
            raise CheckpointError(
                f"{path}: {name} {tuple(value.shape)} claims more numbers than the file holds"
                f" ({path.stat().st_size} bytes); get the weights as safetensors"
            )


def _entries(content: Any) -> list[str]:
    """List the entries that may hold weights, the one that counts first."""
    if not isinstance(content, Mapping):
        return []
    return [name for name in WEIGHT_ENTRIES if isinstance(_first_of(content.get(name)), Mapping)]


def _no_entry(path: Path, entry: str, found: list[str]) -> CheckpointError:
    known = f"it has {', '.join(found)}" if found else "its weights are in none; leave it out"
    return CheckpointError(f"{path} has no entry {entry!r} (pretrained_entry); {known}")
