"""Run the training: the only place that makes a Lightning Trainer."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy

from stvit_video.errors import ConfigError
from stvit_video.settings.training import TrainConfig
from stvit_video.training.callbacks import (
    EpochLog,
    EpochReport,
    ExportBest,
    ProgressDisplay,
    TrainingProgress,
)
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.resume import RESUME_FILE, WholeCheckpoints, check_resume, tell_kept


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


def fit(
    classifier: VideoClassifier,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any] | None,
    *,
    settings: TrainConfig,
    run_dir: Path,
    display: ProgressDisplay,
    write: Callable[[FitReport], object],
    export: Callable[[], object],
) -> FitReport:
    """Train, and leave `last.ckpt` in `run_dir`; with `settings.resume` go on from there.

    `write` is called with the report of all epochs so far after each one, `export` whenever the
    model is at least as good as ever on `val_loader`, both in the first process only.

    Raises:
        CheckpointError: there is nothing to resume.
        DatasetError: too many videos do not decode.
        WriteError: the disk refuses a file; what was written before stays.
        KeyboardInterrupt: ctrl-c, with a line that says what is kept.
    """
    resume_path = run_dir / RESUME_FILE
    check_start(settings, run_dir=run_dir, classifier=classifier)

    def report() -> FitReport:
        return FitReport(
            epochs=tuple(log.epochs),
            failed=tuple(sorted(classifier.failures.values())),
            val_failed=tuple(sorted(classifier.val_failures.values())),
        )

    log = EpochLog(lambda _: write(report()))
    callbacks: list[Callback] = [
        log,
        ExportBest(export),
        TrainingProgress(display, log),
        ModelCheckpoint(dirpath=run_dir, filename="last", enable_version_counter=False),
    ]
    with _quiet_lightning(), _telling_what_is_kept(resume_path, epochs=settings.epochs):
        trainer = _build_trainer(
            settings,
            run_dir=run_dir,
            callbacks=callbacks,
            clip_grad_norm=classifier.optimizer_settings.clip_grad_norm,
        )
        trainer.fit(
            classifier,
            train_loader,
            val_loader,
            ckpt_path=resume_path if settings.resume else None,
            weights_only=True,
        )
    return report()


def check_start(settings: TrainConfig, *, run_dir: Path, classifier: VideoClassifier) -> None:
    """Refuse what cannot be run here, before anything is written.

    Raises:
        ConfigError: there are not as many GPUs, or the run that is resumed is further on.
        CheckpointError: there is nothing to resume, or it is of another model.
    """
    num_gpus = torch.cuda.device_count()
    if isinstance(settings.devices, int) and settings.devices > num_gpus:
        raise ConfigError(
            f"train.devices ({settings.devices}) must be at most the {num_gpus} GPUs of this"
            " machine, or auto, or cpu"
        )
    if settings.resume:
        check_resume(run_dir / RESUME_FILE, classifier, epochs=settings.epochs)


def _build_trainer(
    settings: TrainConfig,
    *,
    run_dir: Path,
    callbacks: list[Callback],
    clip_grad_norm: float | None,
) -> Trainer:
    return Trainer(
        accelerator=_accelerator(settings.devices),
        devices=1 if settings.devices == "cpu" else settings.devices,
        strategy=_strategy(settings.devices),
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


def _strategy(devices: int | Literal["auto", "cpu"]) -> str | DDPStrategy:
    """Average gradients over several GPUs, and send no buffers around.

    Validation is shared exactly, so that processes may run unequal numbers of batches: a buffer
    sent before each would wait for ever. Our buffers are tables that never change.
    """
    num_devices = torch.cuda.device_count() if devices == "auto" else devices
    if devices == "cpu" or num_devices == 1 or not torch.cuda.is_available():
        return "auto"
    return DDPStrategy(broadcast_buffers=False)


def _accelerator(devices: int | Literal["auto", "cpu"]) -> str:
    if devices == "cpu":
        return "cpu"
    return "auto" if devices == "auto" else "gpu"


@contextmanager
def _telling_what_is_kept(resume_path: Path, *, epochs: int) -> Iterator[None]:
    """Let ctrl-c through with a line for the user; Lightning makes an exit with status 1 of it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        raise KeyboardInterrupt(tell_kept(resume_path, epochs=epochs)) from stop


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Leave out Lightning's remarks on workers, loggers and devices; its errors stay."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        logger.setLevel(level)
