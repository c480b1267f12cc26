"""What a training says ahead: what it will do, whether that can succeed, how long it takes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stvit_video.report.counts import counted
from stvit_video.settings.training import RunConfig

if TYPE_CHECKING:  # what is said first waits for no import
    from torch import nn

_LARGE, _FEW = 20, 1000
"""Million weights, and items, between which random weights learn nothing that is of use."""


def is_first_started() -> bool:
    """Say whether no variable of torchrun, Lightning or SLURM makes this another than process 0."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def opening(run: RunConfig, output_dir: Path) -> str:
    """Say what a training will do, from its settings alone."""
    setting = run.model.semantic or run.model.reduction
    name = run.model.name if setting is None else f"{run.model.name}:{setting}"
    what = name if run.detector.name is None else f"{run.detector.name} on {name}"
    epochs = counted(run.train.epochs, "epoch")
    return f"training {what} for {epochs} on {run.data.train}; output_dir {output_dir}"


def size_of(model: "nn.Module", num_classes: int) -> str:
    """Say how large a network is, and its task."""
    return f"{_millions(model):,.1f} million weights, {counted(num_classes, 'class')}"


def doubt(model: "nn.Module", *, num_items: int, noun: str, on_gpu: bool) -> str | None:
    """Say that training from random weights is hopeless; None where it is not."""
    if _millions(model) < _LARGE or (num_items >= _FEW and on_gpu):
        return None
    few = f"{num_items:,} {noun}" if num_items < _FEW else ""
    reasons = " and ".join(filter(None, [few, "" if on_gpu else "no GPU"]))
    return (
        f"{_millions(model):,.0f} million random weights with {reasons} learn next to nothing;"
        " model.pretrained begins with published ones, demo_tiny is a small model"
    )


def remaining(*, num_done: int, seconds: float, num_left: int) -> str | None:
    """Say how long the steps that are left take; None for less than half a minute."""
    left = seconds / num_done * num_left
    if left < 30:
        return None
    if left < 90:
        words = f"{left:.0f} s"
    elif left < 5400:
        words = f"{left / 60:.0f} min"
    else:
        words = f"{left / 3600:.1f} h"
    return f"a step takes {seconds / num_done:.2g} s: about {words} to go, validation apart"


def _millions(model: "nn.Module") -> float:
    return sum(weight.numel() for weight in model.parameters()) / 1e6
