"""How a training is shown while it runs: a bar on a terminal, lines elsewhere."""

import time
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stvit_video.report.terminal import say
from stvit_video.training.callbacks import EpochLog, figure_of
from stvit_video.training.outlook import remaining
from stvit_video.training.processes import is_first_process
from stvit_video.visible import visible

_FEW_STEPS, _FEW_SECONDS = 5, 2.0
"""After which the time that is left is told."""
MUCH_WAITING = 0.2
"""Share of the training time from which on a user is told."""


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
        self.clock: tuple[int, float] | None = None
        self.is_estimated = False
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
        if self.bar is None:
            self._tell_remaining(trainer)
        else:
            passed = time.perf_counter() - self.epoch_log.epoch_start
            waited = self.epoch_log.waited(trainer)
            state = f"{self.state}{_waiting(waited / passed)}"
            self.bar.update(self.task, completed=trainer.global_step, state=state)

    def _tell_remaining(self, trainer: Trainer) -> None:
        """Tell once how long it takes, where no bar does: after a few steps behind the first."""
        done, now = trainer.global_step, time.perf_counter()
        if self.clock is None:
            self.clock = (done, now)
        num_done, seconds = done - self.clock[0], now - self.clock[1]
        if self.is_estimated or num_done < _FEW_STEPS or seconds < _FEW_SECONDS:
            return
        self.is_estimated = True
        num_left = int(trainer.estimated_stepping_batches) - done
        if told := remaining(num_done=num_done, seconds=seconds, num_left=num_left):
            self.display.tell(told)

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
