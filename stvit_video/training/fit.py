"""Run the training: the only place that makes a Lightning Trainer."""

import logging
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, Trainer

from stvit_video.datasets.upkeep.stopping import Terminated
from stvit_video.errors import CheckpointError, ConfigError, WorkerDiedError
from stvit_video.report.results_html import results_html
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.training import TrainConfig
from stvit_video.training.callbacks import (
    AverageWeights,
    EpochLog,
    EpochReport,
    ExportBest,
)
from stvit_video.training.checkpoints import (
    CHECKPOINT_FOLDER,
    Checkpoints,
    StoppedError,
    StopSignals,
)
from stvit_video.training.processes import is_first_process
from stvit_video.training.progress import ProgressDisplay, TrainingProgress
from stvit_video.training.resume import (
    WholeCheckpoints,
    check_checkpoint,
    find_checkpoint,
    num_epochs,
    read_checkpoint,
)
from stvit_video.training.step_log import StepLog, check_loggers
from stvit_video.training.strategy import (
    accelerator_of,
    build_strategy,
    check_processes,
    devices_of,
)
from stvit_video.training.task import TrainingTask


@dataclass(frozen=True, kw_only=True, slots=True)
class FitReport:
    """What a training run did."""

    epochs: tuple[EpochReport, ...]
    """One report an epoch, those before a resume included."""
    failed: tuple[str, ...]
    """Errors of the training videos that did not decode and were skipped."""
    val_failed: tuple[str, ...]
    """Errors of the validation videos that did not decode; `val_top1` is over the others."""

    @property
    def data_wait_share(self) -> float:
        """Share of the training time in which the device waited for batches."""
        total = sum(epoch.train_seconds for epoch in self.epochs)
        return sum(epoch.data_wait_seconds for epoch in self.epochs) / total if total else 0.0

    def _repr_html_(self) -> str:
        return results_html([_epoch_table(self)])


def _epoch_table(report: FitReport) -> Table:
    is_map = any(epoch.val_map is not None for epoch in report.epochs)
    figures = [epoch.val_map if is_map else epoch.val_top1 for epoch in report.epochs]
    return make_table(
        f"{len(report.epochs)} epochs",
        [
            "epoch",
            Column(title="loss", format=".3f"),
            Column(title="val mAP (%)" if is_map else "val top-1 (%)", format=".1f"),
            Column(title="seconds", format=".1f"),
            Column(title="waiting for data (%)", format=".0f"),
        ],
        [
            [
                epoch.epoch,
                epoch.train_loss,
                None if figure is None else 100 * figure,
                epoch.train_seconds,
                100 * epoch.data_wait_share,
            ]
            for epoch, figure in zip(report.epochs, figures, strict=True)
        ],
        note=f"videos that do not decode: {len(report.failed)} of training,"
        f" {len(report.val_failed)} of validation",
    )


class RunFolder(NamedTuple):
    """What a training leaves."""

    path: Path
    write: Callable[[FitReport], object]
    """Writes the report of all epochs so far, after each one; the first process calls it."""
    export: Callable[[], object]
    """Writes the model, whenever it is at least as good as ever on the validation videos; all
    processes call it."""


def fit(
    task: TrainingTask,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any] | None,
    *,
    settings: TrainConfig,
    folder: RunFolder,
    start: Path | None,
    display: ProgressDisplay,
) -> FitReport:
    """Train, or go on from the checkpoint `start`, as `check_start` found it in the folder.

    Raises:
        DatasetError: too many videos do not decode.
        TrainingError: the loss is no number.
        WriteError: the disk refuses a file; what was written before stays.
        KeyboardInterrupt: a signal, with a line that says what is kept; `Terminated` for another
            than ctrl-c's.
    """

    def report() -> FitReport:
        return FitReport(
            epochs=tuple(log.epochs),
            failed=tuple(sorted(task.failures.values())),
            val_failed=tuple(sorted(task.val_failures.values())),
        )

    signals = StopSignals(display.tell)
    log = EpochLog(lambda _: folder.write(report()))
    checkpoints = Checkpoints(
        folder.path / CHECKPOINT_FOLDER,
        minutes=settings.checkpoint_minutes,
        keep=settings.keep_checkpoints,
        loader=train_loader,
        signals=signals,
        losses=task.losses,
    )
    callbacks = [
        AverageWeights(),
        StepLog(settings, folder.path),
        log,
        ExportBest(folder.export),
        TrainingProgress(display, log),
        checkpoints,
    ]
    checkpoints.last = start
    with _quiet_engine(), _ending_for_signals(checkpoints, epochs=settings.epochs):
        trainer = build_trainer(
            settings,
            run_dir=folder.path,
            callbacks=callbacks,
            clip_grad_norm=task.optimizer_settings.clip_grad_norm,
        )
        trainer.fit(task, train_loader, val_loader, ckpt_path=start, weights_only=True)
    return report()


def check_start(
    settings: TrainConfig,
    *,
    run_dir: Path,
    task: TrainingTask,
    tell: Callable[[str], object],
) -> Path | None:
    """Refuse what cannot be run here, before anything is written; return where to go on from.

    Raises:
        ConfigError: there are not as many GPUs or another number of processes, a logger is not
            installed, or the run that is resumed is further on.
        CheckpointError: there is nothing to resume, or it is of another model.
    """
    check_loggers(settings)
    num_gpus = torch.cuda.device_count()
    if isinstance(settings.devices, int) and settings.devices > num_gpus:
        raise ConfigError(
            f"train.devices ({settings.devices}) must be at most the {num_gpus} GPUs of this"
            " machine, or auto, or cpu"
        )
    check_processes(settings)
    if settings.resume is False:
        return None
    folder = run_dir / CHECKPOINT_FOLDER
    found = find_checkpoint(folder, tell=tell)
    if found is not None:
        check_checkpoint(*found, task, epochs=settings.epochs)
        return found[0]
    if settings.resume is True:
        raise CheckpointError(f"{folder} holds no checkpoint; start without --train.resume true")
    return None


@contextmanager
def _ending_for_signals(checkpoints: Checkpoints, *, epochs: int) -> Iterator[None]:
    """Listen for signals, and end the block that one ends with a line that says what is kept."""
    signals = checkpoints.signals
    try:
        with signals.listening():
            yield
    except (*_STOPS, WorkerDiedError) as stop:
        if isinstance(stop, WorkerDiedError) and signals.received is None:
            raise  # else the signal went to the workers, too
        if not is_first_process():
            raise SystemExit(0) from stop  # another status makes Lightning kill the first
        told = _tell_stop(checkpoints.last, epochs=epochs)
        is_ctrl_c = signals.received in (None, signal.SIGINT)
        raise (KeyboardInterrupt if is_ctrl_c else Terminated)(told) from stop


_STOPS = (StoppedError, KeyboardInterrupt, SystemExit)
"""How a signal ends a training; the last is what Lightning makes of ctrl-c."""


def _tell_stop(kept: Path | None, *, epochs: int) -> str:
    """Say what a run that was stopped leaves, and how to go on."""
    if kept is None:
        return "stopped before a checkpoint was written"
    epoch = num_epochs(read_checkpoint(kept))
    return f"stopped; {kept} holds {epoch} of {epochs} epochs: the same command goes on from there"


def build_trainer(
    settings: TrainConfig,
    *,
    run_dir: Path,
    callbacks: list[Callback],
    clip_grad_norm: float | None,
) -> Trainer:
    """Make the trainer of `stvit-video train`; one of `callbacks` is a `Checkpoint`."""
    trainer = Trainer(
        accelerator=accelerator_of(settings),
        devices=devices_of(settings),
        num_nodes=settings.num_nodes,
        strategy=build_strategy(settings),
        precision=settings.precision,
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate_steps,
        gradient_clip_val=clip_grad_norm,
        callbacks=callbacks,
        plugins=WholeCheckpoints(),
        default_root_dir=run_dir,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    # Signals are ours: Lightning's handler sends a tensor round from within whatever it interrupts,
    # which may wait for ever, and asks for one at every step, for which the host waits.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


@contextmanager
def _quiet_engine() -> Iterator[None]:
    """Leave out what Lightning and the compiler remark on workers, devices and precision."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(lightning|torch\._(inductor|dynamo))\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
