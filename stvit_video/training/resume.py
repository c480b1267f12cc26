"""The file that a run goes on from: written whole, looked at before it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import nn

from stvit_video.errors import CheckpointError, ConfigError
from stvit_video.files import replacing
from stvit_video.models.weights.pickles import LOAD_ERRORS, check_stored, find_code
from stvit_video.settings.bounds import shorten
from stvit_video.training.checkpoints import list_checkpoints


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


def find_checkpoint(
    folder: Path, *, tell: Callable[[str], object]
) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest whole checkpoint and what it holds; tell those that are passed over.

    Raises:
        CheckpointError: all are damaged.
    """
    reasons = []
    for path in list_checkpoints(folder):
        try:
            checkpoint = read_checkpoint(path)
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        for reason in reasons:
            tell(f"{reason}; {path.name} is taken instead")
        return path, checkpoint
    if reasons:
        raise CheckpointError(f"{reasons[0]}, nor one before it; start again in another output_dir")
    return None


def check_checkpoint(
    path: Path, checkpoint: dict[str, Any], classifier: nn.Module, *, epochs: int
) -> None:
    """Refuse to go on from the file of another model, or from more epochs than are wanted.

    Raises:
        CheckpointError: naming the file and why.
        ConfigError: it holds more epochs than `epochs`, or an average where the other does not.
    """
    there = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
    own = {name: tensor.shape for name, tensor in classifier.state_dict().items()}
    for name in there.keys() | own.keys():
        if there.get(name) != own.get(name):
            if name.startswith("average."):
                raise ConfigError(
                    f"train.ema_decay cannot be set or left out within the run of {path}; go on"
                    " with its settings or choose another output_dir"
                )
            raise CheckpointError(
                f"{path} is of another model or number of classes ({name} differs); go on with the"
                " settings of its run or choose another output_dir"
            )
    if (kept := num_epochs(checkpoint)) > epochs:
        raise ConfigError(f"train.epochs ({epochs}) must be at least the {kept} that {path} holds")


def changed_settings(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs between the settings of a run and those it goes on with, by dotted name.

    What only one of them names, an older or newer version's, is left out.
    """
    changed: dict[str, tuple[Any, Any]] = {}
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        if isinstance(old, dict) and isinstance(new, dict):
            inner = changed_settings(old, new)
            changed |= {f"{name}.{key}": values for key, values in inner.items()}
        elif old != new:
            changed[name] = (old, new)
    return dict(sorted(changed.items()))


def tell_changes(changed: dict[str, tuple[Any, Any]], *, run_dir: Path) -> str:
    """Say which settings a run goes on with.

    Raises:
        ConfigError: some of them make another run of it.
    """
    words = {name: f"{name} ({new}, it was {old})" for name, (old, new) in changed.items()}
    if fixed := [text for name, text in words.items() if name.startswith(_FIXED)]:
        raise ConfigError(
            f"{', '.join(fixed)} cannot change within the run of {run_dir}; go on with its settings"
            " or choose another output_dir"
        )
    return ", ".join(words.values())


_FIXED = (
    *("model.", "data.train", "data.sampling", "data.target_fps", "data.short_video"),
    *("optimizer.name", "optimizer.layer_decay", "optimizer.backbone_lr", "distill.teacher"),
    *("train.freeze", "train.seed", "train.clips_per_video", "train.share_frames"),
)
"""Beginnings of the settings that make a run what it is."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint once each of its parts was compared with its checksum.

    Raises:
        CheckpointError: it is damaged.
    """
    check_stored(path)
    try:
        with ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise BadZipFile(f"{damaged} is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        num_epochs(checkpoint), checkpoint["state_dict"].items()
    except (*LOAD_ERRORS, BadZipFile) as error:
        wanted = find_code(path)
        reason = "it is none of a training of ours"
        if wanted is not None:
            reason = f"it asks to run {shorten(wanted)} while it is read"
        elif isinstance(error, BadZipFile | OSError):
            reason = shorten(str(error))
        raise CheckpointError(f"{path} cannot be read ({reason})") from error
    assert isinstance(checkpoint, dict)
    return checkpoint


def num_epochs(checkpoint: dict[str, Any]) -> int:
    """Return the number of whole epochs that a checkpoint holds."""
    return len(checkpoint["callbacks"]["EpochLog"]["epochs"])
