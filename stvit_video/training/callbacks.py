"""What happens around the steps: progress, the metrics file, the exported model."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochReport:
    """One epoch of training."""

    epoch: int
    """Counted from 1."""
    step: int
    """Steps of the optimiser so far."""
    lr: float
    """Learning rate after the last step."""
    train_loss: float
    """Mean over the clips of the epoch."""
    val_top1: float | None
    """Share of the validation videos, one centre view each; None without them."""
    elapsed_seconds: float
    """Since training began, validation included."""
    train_seconds: float
    """Of this epoch, without validation."""
    data_wait_seconds: float
    """Of this epoch: time in which the device waited for batches."""
    num_failed: int
    """Training videos that did not decode so far."""


class EpochLog(Callback):
    """Collects an `EpochReport` per epoch and hands the list on, in the first process."""

    def __init__(self, write: Callable[[list[EpochReport]], object]) -> None:
        self.write = write
        self.epochs: list[EpochReport] = []
        self.start = self.epoch_start = time.perf_counter()
        self.train_seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.start = time.perf_counter() - (self.epochs[-1].elapsed_seconds if self.epochs else 0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self.epoch_start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of training; with validation, it runs inside the epoch."""
        self.train_seconds = time.perf_counter() - self.epoch_start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the report of this epoch; Lightning calls this after validation."""
        now = time.perf_counter()
        metrics = trainer.callback_metrics
        val_top1 = metrics.get("val_top1")
        self.epochs.append(
            EpochReport(
                epoch=trainer.current_epoch + 1,
                step=trainer.global_step,
                lr=max(group["lr"] for group in trainer.optimizers[0].param_groups),
                train_loss=float(metrics.get("train_loss", float("nan"))),
                val_top1=None if val_top1 is None else float(val_top1),
                elapsed_seconds=now - self.start,
                train_seconds=now - self.epoch_start if val_top1 is None else self.train_seconds,
                data_wait_seconds=float(getattr(trainer.train_dataloader, "waited_seconds", 0.0)),
                num_failed=len(getattr(pl_module, "failures", ())),
            )
        )
        if trainer.is_global_zero:
            self.write(self.epochs)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: the epochs so far."""
        names = EpochReport.__slots__
        return {"epochs": [{name: getattr(e, name) for name in names} for e in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the epochs of the run that is resumed."""
        self.epochs = [EpochReport(**epoch) for epoch in state_dict["epochs"]]


class ExportBest(Callback):
    """Exports the model after every epoch that is at least as good on the validation videos."""

    def __init__(self, export: Callable[[], object]) -> None:
        self.export = export
        self.best = float("-inf")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export, in the first process; without validation, every epoch."""
        score = float(trainer.callback_metrics.get("val_top1", self.best))
        if score >= self.best:
            self.best = score
            if trainer.is_global_zero:
                self.export()

    def state_dict(self) -> dict[str, Any]:
        """Return the best score."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score of the run that is resumed."""
        self.best = state_dict["best"]


class TrainingProgress(Callback):
    """One bar over all steps on a terminal; one line per epoch elsewhere."""

    def __init__(self, console: Console, label: str) -> None:
        self.console = console
        self.label = label
        self.bar: Progress | None = None
        self.task: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        if not (trainer.is_global_zero and self.console.is_terminal):
            return
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
        )
        self.task = self.bar.add_task(
            self.label,
            total=int(trainer.estimated_stepping_batches),
            completed=trainer.global_step,
            state="",
        )
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell loss and accuracy."""
        metrics = trainer.callback_metrics
        state = f"loss {float(metrics.get('train_loss', float('nan'))):.3f}"
        if "val_top1" in metrics:
            state += f"  val top-1 {100 * float(metrics['val_top1']):.1f} %"
        if self.bar is not None:
            self.bar.update(self.task, state=state)
        elif trainer.is_global_zero:
            place = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.console.print(f"{self.label}: {place}  {state}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the bar as it is."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._stop()

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
