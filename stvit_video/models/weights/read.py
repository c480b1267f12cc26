"""Read tensors from a file without running any code that the file may hold."""

import argparse
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
    *("ema_encoder", "target_encoder", "encoder", "classifiers"),
)
"""Where published files keep their weights, beside optimiser and settings; the first one counts."""


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


def read_weights(path: Path) -> Weights:
    """Read one file, safetensors or pickle -> tensors on the CPU by name.

    Raises:
        CheckpointError: it is truncated, no checkpoint, holds no tensors, or asks to run code.
    """
    if path.suffix == SAFETENSORS:
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise _unreadable(path) from error
    else:
        weights = _find_weights(_read_pickle(path), path)
    if not weights:
        raise CheckpointError(f"{path} holds no tensors; is it a checkpoint?")
    return weights


def read_shards(paths: tuple[Path, ...]) -> Weights:
    """Read all files of a checkpoint into one dictionary."""
    weights: Weights = {}
    for path in paths:
        weights.update(read_weights(path))
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


def _find_weights(content: Any, path: Path) -> Weights:
    """Open the entry that holds the weights; files of training scripts nest them."""
    while isinstance(content, Mapping):
        nested = {name: _first_of(content[name]) for name in WEIGHT_ENTRIES if name in content}
        entry = next((name for name, inner in nested.items() if isinstance(inner, Mapping)), None)
        if entry is None:
            break
        content = nested[entry]
    if not isinstance(content, (dict, OrderedDict)):
        raise CheckpointError(f"{path} holds {type(content).__name__}, not weights by name")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
