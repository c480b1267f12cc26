"""When checkpoints are written: every few minutes, after every epoch, and where a run is stopped.

Every process learns of a stop at the same step, by a vote that the processor counts beside the
device: nothing waits for the device.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import distributed

from stvit_video.training.losses import LossWatch

CHECKPOINT_FOLDER = "checkpoints"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *filter(None, [getattr(signal, "SIGUSR1", None)]))
_NOTHING, _SAVE, _STOP = range(3)


class StoppedError(Exception):
    """A signal ended the training; what it holds is kept."""


class StopSignals:
    """Notes SIGINT, SIGTERM and SIGUSR1 (SLURM's word ahead of the end) instead of dying of them.

    A second ctrl-c ends the program at once. Only the main thread of a process can listen.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.tell = tell
        self.received: signal.Signals | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen as long as the block runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.received is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        self.tell(f"{self.received.name}: stopping after this step")


class Checkpoints(Checkpoint):
    """Writes `step_N.ckpt` files and keeps the newest ones.

    A file in the middle of an epoch holds what the rest of it needs; the last step of an epoch is
    left to the file that is written once it was validated.
    """

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float,
        keep: int,
        loader: Any,
        signals: StopSignals,
        losses: LossWatch,
    ) -> None:
        self.folder = folder
        self.seconds = 60 * minutes
        self.keep = keep
        self.loader = loader
        self.signals = signals
        self.losses = losses
        self.last: Path | None = None
        self.saved_at = time.monotonic()
        self.vote = Vote()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Count the rest of the epoch in batches of today's size and processes."""
        loop = checkpoint["loops"]["fit_loop"]
        if not (places := loop["state_dict"].get("combined_loader")) or not places[0]["served"]:
            return
        self.loader.load_state_dict(places[0])
        done = len(self.loader) - self.loader.num_batches_left()
        progress = dict.fromkeys(("ready", "started", "processed"), done)
        loop["epoch_loop.batch_progress"]["current"] |= progress | {"completed": done - 1}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.saved_at = time.monotonic()
        self.vote.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a file where it is time or a signal came, and end the training for a signal.

        Raises:
            StoppedError: a signal came, and its file is written.
        """
        is_due = time.monotonic() - self.saved_at >= self.seconds
        wish = self.vote(_STOP if self.signals.received else _SAVE if is_due else _NOTHING)
        has_stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if wish == _NOTHING or trainer.is_last_batch or not has_stepped:
            return
        self._save(trainer)
        if wish == _STOP:
            raise StoppedError

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """End a validation that a signal meets: the file before it stays.

        Several processes end it, which may run unequal numbers of batches, and stop together then.

        Raises:
            StoppedError: a signal came.
        """
        if self.signals.received and self.vote.group is None:
            raise StoppedError

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a file; Lightning calls this after validation and after other callbacks.

        Raises:
            StoppedError: a signal came, and epochs are left.
        """
        self._save(trainer)
        wish = self.vote.now(_STOP if self.signals.received else _NOTHING)
        if wish == _STOP and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            raise StoppedError

    def _save(self, trainer: Trainer) -> None:
        self.losses.check()
        path = self.folder / f"step_{trainer.global_step:08d}.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
        self.last, self.saved_at = path, time.monotonic()
        if trainer.is_global_zero:
            for old in list_checkpoints(self.folder)[self.keep :]:
                old.unlink(missing_ok=True)


class Vote:
    """The largest wish of all processes, known to each at the same step.

    What is wished in one step is counted while the next one runs.
    """

    def __init__(self) -> None:
        self.group: Any = None
        self.box = torch.zeros(1, dtype=torch.int64)
        self.counting: distributed.Work | None = None

    def start(self) -> None:
        """Make the group of the processes; alone, a process answers itself."""
        if distributed.is_available() and distributed.is_initialized():
            self.group = distributed.new_group(backend="gloo")

    def __call__(self, wish: int) -> int:
        """Return the largest wish of the step before, and count those of this one."""
        if self.group is None:
            return wish
        result = self._result()
        self.box = torch.tensor([wish])
        self.counting = distributed.all_reduce(
            self.box, distributed.ReduceOp.MAX, group=self.group, async_op=True
        )
        return result

    def now(self, wish: int) -> int:
        """Return the largest wish of this step and of the one before."""
        return max(self(wish), self._result()) if self.group is not None else wish

    def _result(self) -> int:
        if self.counting is None:
            return _NOTHING
        self.counting.wait()
        self.counting = None
        return int(self.box)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, the newest first."""
    return sorted(folder.glob("step_*.ckpt"), reverse=True)
