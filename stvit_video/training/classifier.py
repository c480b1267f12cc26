"""One training step, as Lightning runs it.

Legend: B views in a batch, C colours, T H W frames and pixels, K classes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from stvit_video.errors import DatasetError
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.training import OptimizerConfig
from stvit_video.training.optimizer import build_optimizer, build_schedule
from stvit_video.video.pixels.batch import BatchTransform
from stvit_video.video.pixels.crops import normalize_clip
from stvit_video.video.seeded import mix_seed


class VideoClassifier(LightningModule):
    """Classifies the clips of uint8 batches; skips, counts and names videos that do not decode."""

    def __init__(
        self,
        model: VideoModel,
        *,
        preprocessing: Preprocessing,
        num_classes: int,
        num_videos: int,
        optimizer: OptimizerConfig,
        augment: BatchTransform,
        max_failed_share: float = 0.01,
    ) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.optimizer_settings = optimizer
        self.augment = augment
        self.num_videos = num_videos
        self.max_failed_share = max_failed_share
        self.failures: dict[int, str] = {}
        self.val_failures: dict[int, str] = {}
        self.val_top1 = MulticlassAccuracy(num_classes=num_classes, average="micro")

    def forward(self, clip: Tensor) -> Tensor:
        """Classify: uint8 clip (B, C, T, H, W) -> logits (B, K)."""
        return self.model(normalize_clip(clip, self.preprocessing))

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Return the loss of one batch: a scalar."""
        self._count_failures(batch.failures)
        if not len(batch.label):  # keep step with the other processes
            return torch.stack([p.sum() for p in self.model.parameters()]).sum() * 0
        seed = mix_seed(
            torch.initial_seed() >> 1, self.current_epoch, batch_index, self.global_rank
        )
        clip, target = self.augment(batch.clip, batch.label, seed=seed)
        logits = self.model(clip)  # (B, K)
        smoothing = self.augment.augmentation.label_smoothing
        loss = F.cross_entropy(logits, target, label_smoothing=smoothing)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(logits))
        return loss

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Count right answers on one view of each video that decodes."""
        self.val_failures.update({int(index): str(error) for index, error in batch.failures})
        if len(batch.label):
            self.val_top1.update(self(batch.clip), batch.label)
        self.log("val_top1", self.val_top1, batch_size=len(batch.label))

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule, stepped after every step."""
        optimizer = build_optimizer(self.model, self.optimizer_settings)
        num_steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_schedule(
            optimizer,
            self.optimizer_settings,
            num_steps=num_steps,
            steps_per_epoch=num_steps / (self.trainer.max_epochs or 1),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _count_failures(self, failures: Any) -> None:
        for index, error in failures:
            self.failures[int(index)] = str(error)
        share = len(self.failures) / self.num_videos
        if share > self.max_failed_share:
            raise DatasetError(
                f"{len(self.failures)} of {self.num_videos} training videos do not decode, more"
                f" than data.max_failed_share ({self.max_failed_share}) allows; one of them:"
                f" {next(iter(self.failures.values()))}"
            )
