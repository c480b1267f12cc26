"""One training step, as Lightning runs it.

Legend: B views in a batch, C colours, T H W frames and pixels, K classes.
"""

from collections.abc import Callable
from typing import Any, Self, cast

import torch
from lightning.pytorch import LightningModule
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics.aggregation import MeanMetric

from stvit_video.datasets.coverage import check_failed
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.training import OptimizerConfig, TrainConfig
from stvit_video.training.distillation import Distillation
from stvit_video.training.freezing import freeze
from stvit_video.training.losses import EpochMean, LossWatch, classification_loss
from stvit_video.training.optimizer import Schedule, build_optimizer
from stvit_video.training.precision import MeanAveragePrecision
from stvit_video.training.processes import merged
from stvit_video.training.step_size import StepSize
from stvit_video.training.strategy import compile_blocks, compile_network, is_on_gpu, shard
from stvit_video.video.pixels.batch import BatchTransform
from stvit_video.video.pixels.crops import normalize_clip
from stvit_video.video.seeded import mix_seed, seeded


class VideoClassifier(LightningModule):
    """Classifies the clips of uint8 batches; skips, counts and names videos that do not decode."""

    tell: Callable[[str], object] = staticmethod(lambda line: None)
    """Prints a line, once for all processes."""
    distillation: Distillation | None = None
    """What compares with a teacher, where there is one."""

    def __init__(
        self,
        model: VideoModel,
        *,
        num_classes: int,
        num_videos: int,
        optimizer: OptimizerConfig,
        train: TrainConfig,
        augment: BatchTransform,
        max_failed_share: float = 0.01,
        name_video: Callable[[int], str] = "video {}".format,
    ) -> None:
        super().__init__()
        self.model = model
        self.frozen = freeze(model, train)
        model.set_grad_checkpointing(train.grad_checkpointing)
        self.average = None
        if train.ema_decay is not None:
            self.average = ModelEmaV3(model, decay=train.ema_decay, use_warmup=True)
            self.average.requires_grad_(False)  # or DDP would wait for its gradients
        self.settings = train
        self.is_compiled = is_on_gpu(train) if train.compile == "auto" else train.compile
        self.compiled: Callable[[Tensor], Any] | None = None
        self.optimizer_settings = optimizer
        self.augment = augment
        self.num_videos = num_videos
        self.max_failed_share = max_failed_share
        self.failures: dict[int, str] = {}
        self.val_failures: dict[int, str] = {}
        self.epoch_mean = EpochMean()
        self.losses = LossWatch(name_video)
        self.schedule: Schedule | None = None
        self.val_top1 = MeanMetric(nan_strategy="disable")
        self.val_map = MeanAveragePrecision(num_labels=num_classes)

    @property
    def scored(self) -> VideoModel:
        """What is validated and exported: the model, or the average over its steps."""
        return self.model if self.average is None else cast(VideoModel, self.average.module)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, but for what is frozen."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def configure_model(self) -> None:
        """Share the weights among the processes where that is wanted, and compile."""
        if self.settings.strategy == "fsdp":
            if self.is_compiled:  # a block at a time, as it is put together
                compile_blocks(self.model)
            assert self.device_mesh is not None
            in_bfloat16 = self.settings.precision == "bf16-mixed"
            for model in dict.fromkeys((self.model, self.scored)):
                shard(model, self.device_mesh["data_parallel"], in_bfloat16=in_bfloat16)
        elif self.is_compiled:
            network = self._network
            self.compiled = compile_network(network.forward if network is self.model else network)

    def forward(self, clip: Tensor) -> Tensor:
        """Classify: uint8 clip (B, C, T, H, W) -> logits (B, K)."""
        return self.scored(normalize_clip(clip, self.model.preprocessing))

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Bring clips and labels to the device; what the host reads stays on it."""
        clip, label = (part.to(device, non_blocking=True) for part in (batch.clip, batch.label))
        return batch._replace(clip=clip, label=label)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Return the loss of one batch: a scalar."""
        self._count_failures(batch.failures)
        self._set_rates(batch_index)
        if not len(batch.label):  # keep step with the other processes
            return self.model(self._blank_clip()).sum() * 0
        seed = mix_seed(
            torch.initial_seed() >> 1, self.current_epoch, batch_index, self.global_rank
        )
        clip, target = self.augment(batch.clip, batch.label, seed=seed, videos=batch.video_index)
        with seeded(mix_seed(seed, 1)):  # paths are dropped the same, resumed or not
            if clip.is_cuda:
                torch.cuda.manual_seed(seed)
            answer = (self.compiled or self._network)(clip)
        logits, tokens = answer if self._compares_tokens else (answer, None)  # (B, K), (B, N, D)
        smoothing = self.augment.augmentation.label_smoothing
        loss = classification_loss(
            logits, target, smoothing=smoothing, multi_label=self.augment.multi_label
        )
        if self.distillation is not None:
            loss = self.distillation(loss, clip, logits, tokens)
        self.epoch_mean.add(loss, len(logits))
        self.losses.add(
            loss,
            step=self.global_step + 1,
            epoch=self.current_epoch + 1,
            videos=batch.video_index.tolist(),
        )
        return loss

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Count right answers on one view of each video that decodes."""
        self.val_failures.update({int(index): str(error) for index, error in batch.failures})
        if len(batch.label):
            self._score(self(batch.clip), batch.label)
        else:
            self._keep_step(batch.label)
        self.log("val_top1", self.val_top1, batch_size=len(batch.label), logger=False)
        if self.augment.multi_label:
            self.log("val_map", self.val_map, batch_size=len(batch.label), logger=False)

    def _keep_step(self, label: Tensor) -> None:
        """Do what the other processes may wait for, where there is no clip: `label` holds none."""
        if self.settings.strategy == "fsdp":  # they need this one's part of the weights
            self.scored(self._blank_clip())
        self._score(torch.zeros(0, self.model.num_classes, device=self.device), label)

    def _score(self, logits: Tensor, label: Tensor) -> None:
        """Count right answers; of several labels a video, one that is named first suffices."""
        best = logits.argmax(dim=1)  # (B,)
        if self.augment.multi_label:
            self.val_map.update(logits, label.int())
            is_right = label.gather(1, best[:, None]).squeeze(1) > 0
        else:
            is_right = best == label
        self.val_top1.update(is_right.float())

    def gather_failures(self) -> None:
        """Learn of the videos that failed in other processes, which all must ask for.

        Raises:
            DatasetError: they are too many.
        """
        self.failures, self.val_failures = merged(self.failures), merged(self.val_failures)
        self._check_failures()

    def take_train_loss(self) -> float:
        """Return the mean loss of the clips of this epoch, over all processes; begin a new one.

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
        if self.distillation is not None:
            self.distillation.to(self.device)
        assert self.schedule is not None
        step = StepSize.of(self.trainer)
        self.schedule.lay_out(
            steps_per_epoch=-(-int(self.trainer.num_training_batches) // step.num_batches),
            num_epochs=self.trainer.max_epochs or 1,
            videos_per_step=step.videos,
        )
        self.tell(step.describe(self.schedule))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the rest of the epoch needs, and the videos that failed."""
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

    @property
    def _compares_tokens(self) -> bool:
        return self.distillation is not None and self.distillation.needs_tokens

    @property
    def _network(self) -> Callable[[Tensor], Any]:
        return self.model.forward_with_tokens if self._compares_tokens else self.model

    def _blank_clip(self) -> Tensor:
        shape = self.model.preprocessing
        size = (shape.num_frames, shape.image_size, shape.image_size)
        return torch.zeros(1, 3, *size, device=self.device)

    def _set_rates(self, batch_index: int) -> None:
        assert self.schedule is not None
        step = batch_index // self.trainer.accumulate_grad_batches
        self.schedule.set(epoch=self.current_epoch, step=step)

    def _count_failures(self, failures: Any) -> None:
        for index, error in failures:
            self.failures[int(index)] = str(error)
        self._check_failures()

    def _check_failures(self) -> None:
        check_failed(self.failures.values(), num_videos=self.num_videos, most=self.max_failed_share)
