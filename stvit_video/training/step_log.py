"""The numbers of a training between its epochs, and where they are kept."""

import csv
import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from torch.distributed.tensor import DTensor

from stvit_video.errors import ConfigError
from stvit_video.files import replacing, writing
from stvit_video.settings.training import LogName, TrainConfig
from stvit_video.training.task import TrainingTask

STEPS_FILE = "steps.csv"
COLUMNS = (
    *("epoch", "step", "loss", "lr", "grad_norm", "clips_per_second", "data_wait_share"),
    *("memory_gib", "val_top1", "val_map", "val_mask_map"),
)


class StepLog(Callback):
    """Hands the numbers of every `log_steps` steps to the loggers.

    `loss` is the mean over the clips of all processes since the line before, `grad_norm` that of
    the whole gradient before it is clipped, `clips_per_second` of all devices, `memory_gib` the
    most that the first device held. The host waits for the device at these steps alone.
    """

    def __init__(self, settings: TrainConfig, folder: Path) -> None:
        self.log_steps = settings.log_steps
        self.names = settings.loggers
        self.folder = folder
        self.loggers: list[Any] = []
        self.before: dict[str, Any] = {"seconds": 0.0, "waited": 0.0, "sums": [0.0, 0.0]}
        self.start = 0.0
        self.waited = 0.0
        self.sums = torch.zeros(2)  # of losses, of clips, when the line before was written
        self.grad_norm: torch.Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, in the first process, or go on behind the steps that were logged before."""
        if trainer.is_global_zero:
            made: dict[LogName, Callable[[], Any]] = {
                "csv": lambda: CsvLog(self.folder, step=trainer.global_step),
                "tensorboard": lambda: TensorBoardLogger(self.folder, "tensorboard", version=""),
                "wandb": lambda: _wandb(self.folder),
            }
            self.loggers = [made[name]() for name in self.names]
        self.start = time.perf_counter() - self.before["seconds"]
        self.waited = -self.before["waited"]  # the loader counts anew
        self.sums = torch.tensor(self.before["sums"], dtype=torch.float64)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what happened since the last line."""
        checkpoint["step_log"] = {
            "seconds": time.perf_counter() - self.start,
            "waited": _waited(trainer) - self.waited,
            "sums": self.sums.tolist(),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take it up."""
        self.before = checkpoint["step_log"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; sums and waiting begin anew with each epoch."""
        self.start, self.waited, self.sums = time.perf_counter(), 0.0, torch.zeros(2)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """Measure the gradient ahead of a step that is logged."""
        if (trainer.global_step + 1) % self.log_steps == 0:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            self.grad_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log a line; all processes add up what they saw."""
        if self.grad_norm is None:
            return
        assert isinstance(pl_module, TrainingTask)
        sums = pl_module.epoch_mean.over_all(pl_module.device).cpu()
        loss, clips = (sums - self.sums).tolist()
        now, waited = time.perf_counter(), _waited(trainer)
        seconds = now - self.start
        row = {
            "epoch": trainer.current_epoch + 1,
            "loss": loss / clips if clips else float("nan"),
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            "grad_norm": float(self.grad_norm),
            "clips_per_second": clips / seconds,
            "data_wait_share": max(waited - self.waited, 0.0) / seconds,
            "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
        }
        self._log(row, trainer)
        self.start, self.waited, self.sums, self.grad_norm = now, waited, sums, None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what validation found."""
        found = {k: float(v) for k, v in trainer.callback_metrics.items() if k in COLUMNS}
        self._log({"epoch": trainer.current_epoch + 1, **found}, trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close what is open."""
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close what is open."""
        self._close()

    def _log(self, row: Mapping[str, float], trainer: Trainer) -> None:
        for logger in self.loggers:
            logger.log_metrics(row, trainer.global_step)

    def _close(self) -> None:
        for logger in self.loggers:
            logger.finalize("closed")
        self.loggers = []


class CsvLog:
    """Adds lines to `steps.csv` of a run; one that goes on keeps those up to its step."""

    def __init__(self, folder: Path, *, step: int) -> None:
        self.path = folder / STEPS_FILE
        kept = list(self._lines_up_to(step)) if step and self.path.exists() else []
        with replacing(self.path) as partial_path, partial_path.open("w") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *kept])

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a line.

        Raises:
            WriteError: the disk refuses it.
        """
        row = {name: _rounded(value) for name, value in metrics.items()} | {"step": step}
        with writing(self.path), self.path.open("a") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)

    def finalize(self, status: str) -> None:
        """Do nothing: every line is written at once."""

    def _lines_up_to(self, step: int) -> Iterator[list[str]]:
        with self.path.open() as file:
            for row in csv.reader(file):
                if len(row) == len(COLUMNS) and row[1].isdigit() and int(row[1]) <= step:
                    yield row


def check_loggers(settings: TrainConfig) -> None:
    """Raise ConfigError where a logger is not installed."""
    if "wandb" in settings.loggers and importlib.util.find_spec("wandb") is None:
        raise ConfigError(
            "train.loggers (wandb) needs a package that is not installed; pip install wandb"
        )


def _wandb(folder: Path) -> WandbLogger:
    """Return the logger of W&B; a run that goes on is the same one there."""
    latest = folder / "wandb" / "latest-run"
    last = latest.resolve().name.rpartition("-")[2] if latest.exists() else None
    return WandbLogger(
        name=folder.name, save_dir=folder, project="stvit-video", id=last, resume="allow"
    )


def _waited(trainer: Trainer) -> float:
    return float(getattr(trainer.train_dataloader, "waited_seconds", 0.0))


def _rounded(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
