"""Read tensors from a file without running any code that the file may hold."""

import argparse
import logging
import pickle
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stvit_video.errors import CheckpointError
from stvit_video.settings.paths import SAFETENSORS

Weights = dict[str, Tensor]

WEIGHT_ENTRIES = (
    *("model_state", "model", "module", "state_dict", "model_state_dict", "model_ema"),
    "state_dict_ema",
    *("ema_encoder", "target_encoder", "encoder", "classifiers"),
)
"""Where published files keep their weights, beside optimiser and settings; the first one counts."""


OTHER_FORMATS = {
    ".npz": "a file of NumPy arrays, as JAX and Flax write for ViT and ViViT",
    ".npy": "a file of one NumPy array",
    ".msgpack": "a file of Flax",
    ".h5": "a file of Keras",
    ".onnx": "a network of ONNX",
}
"""What weights come in besides, by the ending of the file."""

_log = logging.getLogger(__name__)
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]

_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    (OrderedDict, "yacs.config.CfgNode"),
    (OrderedDict, "fvcore.common.config.CfgNode"),
    *(
        (kind, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")  # where Python 3.13 keeps them
        for kind, name in ((PurePosixPath, "PosixPath"), (PureWindowsPath, "WindowsPath"))
    ),
]
"""Plain values that training scripts save beside the weights: they hold data, run nothing.

Settings of other projects become dictionaries, so that none of their code is needed.
"""

_LOAD_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
    OSError,
)
"""What torch.load raises for files that are cut off, of another kind, or not allowed."""


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
        except (SafetensorError, OSError) as error:
            raise _unreadable(path) from error
    else:
        weights = _find_weights(_read_pickle(path), path, entry)
    if not weights:
        raise CheckpointError(f"{path} holds no tensors; is it a checkpoint?")
    return weights


def read_shards(paths: tuple[Path, ...], entry: str | None = None) -> Weights:
    """Read all files of a checkpoint, of each the `entry`, into one dictionary."""
    weights: Weights = {}
    for path in paths:
        weights.update(read_weights(path, entry))
    return weights


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of pickle protocols, then reads or raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as error:
        wanted = _find_code(path)
        if wanted is None:
            raise _unreadable(path) from error
        raise CheckpointError(
            f"{path} asks to run {wanted} while it is read; only tensors and plain values are"
            " accepted: get the weights as safetensors, or a file of the state dict alone"
        ) from error


def _find_code(path: Path) -> str | None:
    """Name the first function or class that a pickle wants and may not have; runs nothing."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith("data.pkl")]
                content = archive.read(names[0]) if names else b""
        else:
            content = path.read_bytes()
        return next((name for name in _globals_of(content) if not _is_plain(name)), None)
    except (ValueError, OSError, zipfile.BadZipFile):
        return None


def _globals_of(content: bytes) -> Iterator[str]:
    """List `module.name` of everything that a pickle looks up, in order."""
    strings: list[str] = []
    for opcode, value, _ in pickletools.genops(content):
        if opcode.name == "GLOBAL":
            yield str(value).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:])
        elif isinstance(value, str):
            strings.append(value)


def _is_plain(name: str) -> bool:
    known = {entry[1] for entry in _HARMLESS if isinstance(entry, tuple)}
    modules = ("torch._utils.", "torch.storage.", "collections.", "numpy.dtype", "argparse.")
    is_tensor_type = name.startswith("torch.") and name.count(".") == 1
    return name in known or is_tensor_type or name.startswith(modules)


def _unreadable(path: Path) -> CheckpointError:
    size = path.stat().st_size
    return CheckpointError(
        f"{path} ({size} bytes) is truncated or no checkpoint; download it again"
    )


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
    while isinstance(content, Mapping):
        found = _entries(content)
        if not found:
            break
        if len(found) > 1:
            _log.warning(
                "%s holds weights in %s: %s is read; pretrained_entry chooses another",
                *(path, ", ".join(found), found[0]),
            )
        content = _first_of(content[found[0]])
    if not isinstance(content, (dict, OrderedDict)):
        raise CheckpointError(f"{path} holds {type(content).__name__}, not weights by name")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _entries(content: Any) -> list[str]:
    """List the entries that may hold weights, the one that counts first."""
    if not isinstance(content, Mapping):
        return []
    return [name for name in WEIGHT_ENTRIES if isinstance(_first_of(content.get(name)), Mapping)]


def _no_entry(path: Path, entry: str, found: list[str]) -> CheckpointError:
    known = f"it has {', '.join(found)}" if found else "its weights are in none; leave it out"
    return CheckpointError(f"{path} has no entry {entry!r} (pretrained_entry); {known}")
