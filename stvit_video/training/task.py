"""What every training shares: rates, failures, losses and averages around one step, as Lightning
runs it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, cast

import torch
from lightning.pytorch import LightningModule
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.optim import Optimizer

from stvit_video.datasets.coverage import check_failed
from stvit_video.report.counts import counted
from stvit_video.settings.training import OptimizerConfig, TrainConfig
from stvit_video.training.freezing import freeze
from stvit_video.training.losses import EpochMean, LossWatch
from stvit_video.training.optimizer import Grouped, Schedule, build_optimizer
from stvit_video.training.processes import merged
from stvit_video.training.step_size import StepSize
from stvit_video.video.seeded import mix_seed, seeded


class TrainingTask(LightningModule):
    """Trains a model on items that are read; skips, counts and names those that cannot be.

    A task says what the loss of a batch is (`batch_loss`) and how it is validated.
    """

    noun = "videos"
    """What items are called."""
    tell: Callable[[str], object] = staticmethod(lambda line: None)
    """Prints a line, once for all processes."""
    is_compiled = False
    """Whether the first step compiles the network."""
    model: nn.Module
    """`Grouped`, too."""

    def __init__(
        self,
        model: nn.Module,
        *,
        num_items: int,
        optimizer: OptimizerConfig,
        train: TrainConfig,
        max_failed_share: float,
        name_item: Callable[[int], str],
    ) -> None:
        super().__init__()
        self.model = model
        self.frozen = freeze(model, train)
        cast(Grouped, model).set_grad_checkpointing(train.grad_checkpointing)
        self.average = None
        if train.ema_decay is not None:
            self.average = ModelEmaV3(model, decay=train.ema_decay, use_warmup=True)
            self.average.requires_grad_(False)  # or DDP would wait for its gradients
        self.settings = train
        self.optimizer_settings = optimizer
        self.num_items = num_items
        self.max_failed_share = max_failed_share
        self.failures: dict[int, str] = {}
        self.val_failures: dict[int, str] = {}
        self.epoch_mean = EpochMean()
        self.losses = LossWatch(name_item)
        self.schedule: Schedule | None = None

    @property
    def scored(self) -> nn.Module:
        """What is validated and exported: the model, or the average over its steps."""
        return self.model if self.average is None else self.average.module

    def batch_loss(self, batch: Any, *, seed: int) -> Tensor | None:
        """Return the mean loss over a batch, None where it holds no item; `seed` is the step's."""
        raise NotImplementedError

    def blank_loss(self) -> Tensor:
        """Return a loss of zero that all weights take part in, to keep step with others."""
        raise NotImplementedError

    @contextmanager
    def drawing(self, seed: int) -> Iterator[None]:
        """Let the network draw the same (paths, sizes, samples) whether a run is resumed or not."""
        with seeded(mix_seed(seed, 1)):
            if self.device.type == "cuda":
                torch.cuda.manual_seed(seed)
            yield

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Leave a batch where its loader brought it; what the host reads stays on it."""
        return batch

    def train(self, mode: bool = True) -> Self:
        """Set the mode, but for what is frozen."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Return the loss of one batch: a scalar."""
        self._count_failures(batch.failures)
        self._set_rates(batch_index)
        seed = mix_seed(
            torch.initial_seed() >> 1, self.current_epoch, batch_index, self.global_rank
        )
        loss = self.batch_loss(batch, seed=seed)
        if loss is None:
            return self.blank_loss()
        items = self.items_of(batch)
        self.epoch_mean.add(loss, len(items))
        self.losses.add(loss, step=self.global_step + 1, epoch=self.current_epoch + 1, videos=items)
        return loss

    def items_of(self, batch: Any) -> list[int]:
        """Return the position in the data set of each item of a batch."""
        raise NotImplementedError

    def gather_failures(self) -> None:
        """Learn of the items that failed in other processes, which all must ask for.

        Raises:
            DatasetError: they are too many.
        """
        self.failures, self.val_failures = merged(self.failures), merged(self.val_failures)
        self._check_failures()

    def take_train_loss(self) -> float:
        """Return the mean loss of the items of this epoch, over all processes; begin a new one.

        Raises:
            TrainingError: a loss is not finite.
        """
        self.losses.check()
        return self.epoch_mean.take(self.device)

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser; its rates are set ahead of every step."""
        optimizer = build_optimizer(self.model, self.optimizer_settings)
        self.schedule = Schedule(optimizer, self.optimizer_settings)
        return optimizer

    def on_train_start(self) -> None:
        """Lay out the schedule: the steps of an epoch are known only where all processes are."""
        assert self.schedule is not None
        step = StepSize.of(self.trainer)
        num_steps = -(-int(self.trainer.num_training_batches) // step.num_batches)
        num_epochs = self.trainer.max_epochs or 1
        self.schedule.lay_out(
            steps_per_epoch=num_steps, num_epochs=num_epochs, videos_per_step=step.videos
        )
        self.tell(
            f"{counted(self.num_items, self.noun.removesuffix('s'))}: {counted(num_steps, 'step')}"
            f" an epoch, {num_steps * num_epochs:,} in all, on {_name(self.device)}"
        )
        self.tell(step.describe(self.schedule, noun=self.noun))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the rest of the epoch needs, and the items that failed."""
        checkpoint["training"] = {
            "loss_sums": self.epoch_mean.over_all(self.device).tolist(),
            "failures": merged(self.failures),
            "val_failures": merged(self.val_failures),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up; the first process alone has the losses of all."""
        kept = checkpoint["training"]
        self.failures, self.val_failures = dict(kept["failures"]), dict(kept["val_failures"])
        if self.global_rank == 0:
            self.epoch_mean.sums = torch.tensor(kept["loss_sums"], dtype=torch.float64)

    def _set_rates(self, batch_index: int) -> None:
        assert self.schedule is not None
        step = batch_index // self.trainer.accumulate_grad_batches
        self.schedule.set(epoch=self.current_epoch, step=step)

    def _count_failures(self, failures: Any) -> None:
        for index, error in failures:
            self.failures[int(index)] = str(error)
        self._check_failures()

    def _check_failures(self) -> None:
        check_failed(self.failures.values(), num_videos=self.num_items, most=self.max_failed_share)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
