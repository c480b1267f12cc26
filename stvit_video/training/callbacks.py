"""What happens around the steps: progress, the metrics file, the exported model."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stvit_video.report.terminal import say
from stvit_video.training.processes import is_first_process
from stvit_video.training.task import TrainingTask
from stvit_video.visible import visible


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochReport:
    """One epoch of training."""

    epoch: int
    """Counted from 1."""
    step: int
    """Steps of the optimiser so far."""
    lr: float
    """Highest learning rate of its last step."""
    train_loss: float
    """Mean over the clips of the epoch."""
    val_top1: float | None
    """Share of the validation videos, one centre view each; None without them. Of several labels a
    video, one suffices."""
    elapsed_seconds: float
    """Since training began, validation included."""
    train_seconds: float
    """Of this epoch, without validation."""
    data_wait_seconds: float
    """Of this epoch: time in which the device waited for batches."""
    num_failed: int
    """Training videos that did not decode so far."""
    val_map: float | None = None
    """Mean average precision over the classes: with several labels a video, or of the boxes that a
    detector finds (COCO's AP)."""
    val_mask_map: float | None = None
    """COCO's AP of masks."""

    @property
    def data_wait_share(self) -> float:
        """Share of the training time of this epoch in which the device waited for batches."""
        return self.data_wait_seconds / self.train_seconds if self.train_seconds else 0.0


class ProgressDisplay(NamedTuple):
    """Where and how a training is shown."""

    console: Console
    label: str
    """Of the bar."""
    if_waiting: str = ""
    """What to do where training waits much for data."""

    def tell(self, line: str) -> None:
        """Print a line, in the first process."""
        if is_first_process():
            say(self.console, line)


MUCH_WAITING = 0.2
"""Share of the training time from which on a user is told."""


def figure_of(trainer: Trainer, name: str) -> float | None:
    """Return a figure of the last validation; None without one, or where nothing was measured."""
    figure = float(trainer.callback_metrics.get(name, math.nan))
    return None if math.isnan(figure) else figure


class EpochLog(Callback):
    """Collects an `EpochReport` per epoch and hands the list on, in the first process."""

    def __init__(self, write: Callable[[list[EpochReport]], object]) -> None:
        self.write = write
        self.epochs: list[EpochReport] = []
        self.start = self.epoch_start = time.perf_counter()
        self.train_seconds: float | None = None  # of this epoch, once it is validated
        self.before: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks; an epoch that is taken up in its middle is not begun again."""
        elapsed, in_epoch, _ = self.before
        self.start = time.perf_counter() - elapsed
        self.epoch_start = time.perf_counter() - in_epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self.epoch_start, self.train_seconds = time.perf_counter(), None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of training; with validation, it runs inside the epoch."""
        self.train_seconds = time.perf_counter() - self.epoch_start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the report of this epoch; Lightning calls this after validation."""
        assert isinstance(pl_module, TrainingTask)
        now = time.perf_counter()
        if self.train_seconds is None:
            self.train_seconds = now - self.epoch_start
        pl_module.gather_failures()
        self.epochs.append(
            EpochReport(
                epoch=trainer.current_epoch + 1,
                step=trainer.global_step,
                lr=max(group["lr"] for group in trainer.optimizers[0].param_groups),
                train_loss=pl_module.take_train_loss(),
                val_top1=figure_of(trainer, "val_top1"),
                val_map=figure_of(trainer, "val_map"),
                val_mask_map=figure_of(trainer, "val_mask_map"),
                elapsed_seconds=now - self.start,
                train_seconds=self.train_seconds,
                data_wait_seconds=self.waited(trainer),
                num_failed=len(pl_module.failures),
            )
        )
        self.before = (now - self.start, 0.0, 0.0)
        if trainer.is_global_zero:
            self.write(self.epochs)

    def waited(self, trainer: Trainer) -> float:
        """Seconds of this epoch in which the device waited for batches."""
        return self.before[2] + float(getattr(trainer.train_dataloader, "waited_seconds", 0.0))

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the clocks."""
        now = time.perf_counter()
        in_epoch = (now - self.epoch_start, self.waited(trainer))
        checkpoint["clocks"] = (
            now - self.start,
            *((0.0, 0.0) if trainer.is_last_batch else in_epoch),
        )

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take up the clocks."""
        self.before = tuple(checkpoint["clocks"])

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: the epochs so far."""
        names = EpochReport.__slots__
        return {"epochs": [{name: getattr(e, name) for name in names} for e in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the epochs of the run that is resumed."""
        self.epochs = [EpochReport(**epoch) for epoch in state_dict["epochs"]]


class AverageWeights(Callback):
    """Takes the weights of each step into the average that is validated, where there is one."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average; comes ahead of checkpoints."""
        assert isinstance(pl_module, TrainingTask)
        has_stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if pl_module.average is not None and (has_stepped or trainer.is_last_batch):
            pl_module.average.update(pl_module.model, step=trainer.global_step)


class ExportBest(Callback):
    """Exports the model after every epoch that is at least as good on the validation videos.

    By mean average precision where videos have several labels, else by top-1. An epoch in which
    nothing was measured counts as worse than all others.

    `export` is called in all processes: each may hold a part of the weights.
    """

    def __init__(self, export: Callable[[], object]) -> None:
        self.export = export
        self.best = -math.inf

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export; without validation, every epoch."""
        figures = (figure_of(trainer, name) for name in ("val_map", "val_top1"))
        score = next((figure for figure in figures if figure is not None), -math.inf)
        if score >= self.best:
            self.best = score
            self.export()

    def state_dict(self) -> dict[str, Any]:
        """Return the best score."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score of the run that is resumed."""
        self.best = state_dict["best"]


class TrainingProgress(Callback):
    """One bar over all steps on a terminal; one line per epoch elsewhere.

    Both show how much of the time training waits for data. In the first epoch in which that is
    much, another line says what to do. Follows the `EpochLog` whose clock it reads.
    """

    def __init__(self, display: ProgressDisplay, log: EpochLog) -> None:
        self.display = display
        self.console, self.label, self.if_waiting = display
        self.epoch_log = log
        self.state = ""
        self.compiling_since: float | None = None
        self.bar: Progress | None = None
        self.task: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        if getattr(pl_module, "is_compiled", False):
            self.display.tell("compiling the network; train.compile false begins at once")
            self.compiling_since = time.perf_counter()
        if not (trainer.is_global_zero and self.console.is_terminal):
            return
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self.console,
        )
        self.task = self.bar.add_task(
            visible(self.label),
            total=int(trainer.estimated_stepping_batches),
            completed=trainer.global_step,
            state="",
        )
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Move the bar."""
        if self.compiling_since is not None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds = time.perf_counter() - self.compiling_since
            self.display.tell(f"compiled: the first step took {seconds:.0f} s")
            self.compiling_since = None
        if self.bar is not None:
            passed = time.perf_counter() - self.epoch_log.epoch_start
            waited = self.epoch_log.waited(trainer)
            state = f"{self.state}{_waiting(waited / passed)}"
            self.bar.update(self.task, completed=trainer.global_step, state=state)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell loss, accuracy and waiting."""
        state = f"loss {self.epoch_log.epochs[-1].train_loss:.3f}"
        for name, word in (
            *(("val_top1", "top-1"), ("val_map", "mAP"), ("val_mask_map", "mask mAP")),
        ):
            if (figure := figure_of(trainer, name)) is not None:
                state += f"  val {word} {100 * figure:.1f} %"
        self.state = f"{state}  "
        share = self.epoch_log.epochs[-1].data_wait_share
        state = f"{self.state}{_waiting(share)}"
        if self.bar is not None:
            self.bar.update(self.task, state=state)
        elif trainer.is_global_zero:
            place = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            say(self.console, f"{self.label}: {place}  {state}")
        if trainer.is_global_zero and self.if_waiting and share > MUCH_WAITING:
            text = f"training waited for data {100 * share:.0f} % of the time; {self.if_waiting}"
            say(self.console, text)
            self.if_waiting = ""

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


def _waiting(share: float) -> str:
    return f"waiting {100 * share:.0f} %"
