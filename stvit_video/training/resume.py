"""The file that a run goes on from: `last.ckpt`, written whole, looked at before it is used."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import nn

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.files import replacing

RESUME_FILE = "last.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints so that the last good one stays until the next is complete."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the file.

        Raises:
            WriteError: the disk refuses it.
        """
        with replacing(path, RuntimeError) as partial_path, partial_path.open("wb") as file:
            torch.save(checkpoint, file)


def check_resume(path: Path, classifier: nn.Module, *, epochs: int) -> None:
    """Refuse to go on from a file that is not there, is damaged, or is of another run.

    Raises:
        CheckpointError: naming the file and why.
        ConfigError: it holds more epochs than `epochs`.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; start without --train.resume")
    checkpoint = _read(path)
    there = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
    own = {name: tensor.shape for name, tensor in classifier.state_dict().items()}
    for name in there.keys() | own.keys():
        if there.get(name) != own.get(name):
            raise CheckpointError(
                f"{path} is of another model or number of classes ({name} differs); go on with the"
                " settings of its run or choose another output_dir"
            )
    if (kept := _kept(checkpoint)) > epochs:
        raise ConfigError(f"train.epochs ({epochs}) must be at least the {kept} that {path} holds")


def tell_kept(path: Path, *, epochs: int) -> str:
    """Say what a run that was stopped leaves, and how to go on."""
    try:
        kept = _kept(_read(path))
    except CheckpointError:
        return "stopped before the first epoch was kept"
    return f"stopped; {path} holds epoch {kept} of {epochs}: go on with --train.resume true"


def _read(path: Path) -> dict[str, Any]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        _kept(checkpoint), checkpoint["state_dict"].items()
    except (OSError, RuntimeError, EOFError, UnpicklingError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise CheckpointError(
            f"{path} cannot be read ({reason}); start again in another output_dir"
        ) from error
    assert isinstance(checkpoint, dict)
    return checkpoint


def _kept(checkpoint: dict[str, Any]) -> int:
    """Return the number of epochs that were trained."""
    return len(checkpoint["callbacks"]["EpochLog"]["epochs"])
