"""The formats of exported files: what each needs, how one is written and read again."""

import importlib.util
import io
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stvit_video.errors import ConfigError, ExportError
from stvit_video.settings.export import ExportFormat

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

    from stvit_video.exporting.card import ExportCard

KEY = "stvit_video"
"""Where a file holds its card, as JSON."""
OPSET = 20
"""Of ONNX: the first with GELU; ONNX Runtime reads our files from 1.18 on."""

Run = Callable[["Tensor"], "Tensor"]
"""Input -> logits (B, K), as the file computes them."""


class Format(NamedTuple):
    """How a file of a format comes to be."""

    suffix: str
    write: Callable[["ExportedProgram", "ExportCard", Path], None]
    load: Callable[[Path], tuple[Run, str]]
    """Return what runs the file, and its card as JSON."""
    packages: tuple[str, ...] = ()
    """What it needs besides torch."""
    is_compiled: bool = False
    """Whether writing takes a C++ compiler."""
    opset: int | None = None


def check_format(name: ExportFormat, output: Path, *, device: str = "cpu") -> Format:
    """Look a format up, before the work.

    Raises:
        ConfigError: `output` has the suffix of another one, something that it needs is missing, or
            it is made for no `device`.
    """
    chosen = FORMATS[name]
    if chosen.opset is not None and device != "cpu":
        raise ConfigError(
            f"device ({device}) is for the formats aoti and torch; a file of {name} is made on the"
            " cpu and runs anywhere"
        )
    if output.suffix != chosen.suffix:
        raise ConfigError(f"output ({output}) must end with {chosen.suffix} for the format {name}")
    missing = [package for package in chosen.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"format {name} needs {', '.join(missing)}; run pip install 'stvit-video[export]'"
        )
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if chosen.is_compiled and shutil.which(compiler) is None:
        raise ConfigError(
            f"format {name} needs the C++ compiler {compiler}, which is not there; install it, or"
            " name another in the environment variable CXX"
        )
    return chosen


def _write_onnx(program: "ExportedProgram", card: "ExportCard", path: Path) -> None:
    import torch
    from torch.onnx.errors import OnnxExporterError

    named = {
        axis: length for axis, length in enumerate(card.input_shape) if isinstance(length, str)
    }
    with _quiet("torch.onnx", "onnxscript", "onnx_ir"):
        try:
            written = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=[card.input_name],
                output_names=[card.output_name],
                dynamic_shapes=(named,),
                verbose=False,
            )
        except OnnxExporterError as error:
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            raise ExportError(f"{_named(card)} cannot be written as ONNX: {reason}") from error
        assert written is not None
        written.model.metadata_props[KEY] = card.as_json()
        written.save(path)


def _named(card: "ExportCard") -> str:
    setting = card.semantic or card.reduction
    return card.model if setting is None else f"{card.model}:{setting}"


def _load_onnx(path: Path) -> tuple[Run, str]:
    import onnxruntime
    import torch
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised, too
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = (entry.name for entry in session.get_inputs())

    def run(clips: "Tensor") -> "Tensor":
        try:
            (logits,) = session.run(None, {name: clips.cpu().numpy()})
        except (faults.Fail, faults.InvalidArgument, faults.RuntimeException) as error:
            raise RuntimeError(str(error)) from error
        return torch.from_numpy(logits)

    return run, session.get_modelmeta().custom_metadata_map[KEY]


def _write_aoti(program: "ExportedProgram", card: "ExportCard", path: Path) -> None:
    from torch._inductor import aoti_compile_and_package

    content = io.BytesIO()  # on a full disk, torch's own writer ends the process
    with _quiet("torch"):
        kept = {"aot_inductor.metadata": {KEY: card.as_json()}}
        aoti_compile_and_package(program, package_path=content, inductor_configs=kept)
    path.write_bytes(content.getbuffer())


def _load_aoti(path: Path) -> tuple[Run, str]:
    from torch._inductor import aoti_load_package

    package = aoti_load_package(str(path))
    return package, package.get_metadata()[KEY]


def _write_torch(program: "ExportedProgram", card: "ExportCard", path: Path) -> None:
    import torch

    content = io.BytesIO()  # on a full disk, torch's own writer ends the process
    torch.export.save(program, content, extra_files={KEY: card.as_json()})
    path.write_bytes(content.getbuffer())


def _load_torch(path: Path) -> tuple[Run, str]:
    import torch

    extra = {KEY: ""}
    program = torch.export.load(path, extra_files=extra)
    return program.module(), extra[KEY]


FORMATS: dict[ExportFormat, Format] = {
    "onnx": Format(
        ".onnx",
        _write_onnx,
        _load_onnx,
        packages=("onnx", "onnxscript", "onnxruntime"),
        opset=OPSET,
    ),
    "aoti": Format(".pt2", _write_aoti, _load_aoti, is_compiled=True),
    "torch": Format(".pt2", _write_torch, _load_torch),
}


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Keep from the terminal what exporters remark about their own work; errors are raised."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
