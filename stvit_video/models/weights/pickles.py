"""Read pickles without running any code that they may hold, and say what they asked for."""

import argparse
import pickle
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch

from stvit_video.errors import CheckpointError

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

LOAD_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
    OSError,
    AssertionError,
    ArithmeticError,
    MemoryError,
)
"""What torch.load raises for files that are cut off, of another kind, or not allowed."""


def load_pickle(path: Path) -> Any:
    """Read what torch.save wrote: tensors on the CPU and plain values.

    Raises:
        CheckpointError: it is truncated, no such file, compressed, or asks to run code.
    """
    check_stored(path)
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of pickle protocols, then reads or raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except LOAD_ERRORS as error:
        wanted = find_code(path)
        if wanted is None:
            raise unreadable(path) from error
        raise CheckpointError(
            f"{path} asks to run {wanted} while it is read; only tensors and plain values are"
            " accepted: get the weights as safetensors, or a file of the state dict alone"
        ) from error


def check_stored(path: Path) -> None:
    """Refuse an archive with compressed parts: torch.save makes none, and they may be a bomb.

    Raises:
        CheckpointError: naming the part.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # no archive that could be read either
    for part in parts:
        if part.compress_type != zipfile.ZIP_STORED or part.file_size > path.stat().st_size:
            raise CheckpointError(
                f"{path} has a compressed part {part.filename}, as torch.save writes none; get the"
                " weights as safetensors"
            )


def find_code(path: Path) -> str | None:
    """Name the first function or class that a pickle wants and may not have; runs nothing."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith("data.pkl")]
                content = archive.read(names[0]) if names else b""
        else:
            content = path.read_bytes()
        return next((name for name in _globals_of(content) if not _is_plain(name)), None)
    except (*LOAD_ERRORS, zipfile.BadZipFile):
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


def unreadable(path: Path) -> CheckpointError:
    """Make the error of a file that holds nothing to be read."""
    size = path.stat().st_size
    return CheckpointError(
        f"{path} ({size} bytes) is truncated or no checkpoint; download it again"
    )
