"""What happens around the steps: progress, the metrics file, the exported model."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from stvit_video.training.task import TrainingTask


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
