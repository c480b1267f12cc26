"""What a run trains, made of its settings; the run itself is the same for all tasks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stvit_video.datasets.loader import VideoLoader
from stvit_video.training.task import TrainingTask


class Prepared(NamedTuple):
    """A task with its data, and how it is kept."""

    task: TrainingTask
    train_loader: VideoLoader
    val_loader: VideoLoader | None
    export: Callable[[Path, dict[str, Tensor], dict[str, Any]], object]
    """Writes what is scored into a folder: its weights, and what else the card is to hold."""
    notes: tuple[str, ...] = ()
    """What was left out of the data, a line each."""
    if_waiting: str = ""
    """What helps where training waits for data."""
