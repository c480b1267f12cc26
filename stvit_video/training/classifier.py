"""Training on the classes of videos.

Legend: B views in a batch, C colours, T H W frames and pixels, K classes.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics.aggregation import MeanMetric

from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.training import OptimizerConfig, TrainConfig
from stvit_video.training.distillation import Distillation
from stvit_video.training.losses import classification_loss
from stvit_video.training.precision import MeanAveragePrecision
from stvit_video.training.strategy import compile_blocks, compile_network, is_on_gpu, shard
from stvit_video.training.task import TrainingTask
from stvit_video.video.pixels.batch import BatchTransform
from stvit_video.video.pixels.crops import normalize_clip


class VideoClassifier(TrainingTask):
    """Classifies the clips of uint8 batches."""

    model: VideoModel
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
        super().__init__(
            model,
            num_items=num_videos,
            optimizer=optimizer,
            train=train,
            max_failed_share=max_failed_share,
            name_item=name_video,
        )
        self.is_compiled = is_on_gpu(train) if train.compile == "auto" else train.compile
        self.compiled: Callable[[Tensor], Any] | None = None
        self.augment = augment
        self.val_top1 = MeanMetric(nan_strategy="disable")
        self.val_map = MeanAveragePrecision(num_labels=num_classes)

    @property
    def scored(self) -> VideoModel:
        """What is validated and exported: the model, or the average over its steps."""
        return cast(VideoModel, super().scored)

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

    def batch_loss(self, batch: Any, *, seed: int) -> Tensor | None:
        """Return the mean loss over the clips of a batch, None where it holds none."""
        if not len(batch.label):
            return None
        clip, target = self.augment(batch.clip, batch.label, seed=seed, videos=batch.video_index)
        with self.drawing(seed):
            answer = (self.compiled or self._network)(clip)
        logits, tokens = answer if self._compares_tokens else (answer, None)  # (B, K), (B, N, D)
        smoothing = self.augment.augmentation.label_smoothing
        loss = classification_loss(
            logits, target, smoothing=smoothing, multi_label=self.augment.multi_label
        )
        if self.distillation is not None:
            loss = self.distillation(loss, clip, logits, tokens)
        return loss

    def blank_loss(self) -> Tensor:
        """Return a loss of zero that all weights take part in, to keep step with others."""
        return self.model(self._blank_clip()).sum() * 0

    def items_of(self, batch: Any) -> list[int]:
        """Return the video of each clip of a batch."""
        return list(batch.video_index.tolist())

    def on_train_start(self) -> None:
        """Bring the teacher along."""
        super().on_train_start()
        if self.distillation is not None:
            self.distillation.to(self.device)

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
