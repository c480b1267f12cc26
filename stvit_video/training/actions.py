"""Training on what persons in boxes do.

Legend: B clips in a batch, N boxes of them, K classes.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from stvit_video.detection.actions.meter import FrameMeanAveragePrecision
from stvit_video.detection.actions.network import box_logits
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.training import OptimizerConfig, TrainConfig
from stvit_video.training.task import TrainingTask


class ActionTask(TrainingTask):
    """Asks of every box of a batch whether its person does each of the actions."""

    noun = "key frames"
    model: VideoModel

    def __init__(
        self,
        model: VideoModel,
        *,
        num_frames: int,
        optimizer: OptimizerConfig,
        train: TrainConfig,
        max_failed_share: float = 0.01,
        name_frame: Callable[[int], str] = "key frame {}".format,
    ) -> None:
        super().__init__(
            model,
            num_items=num_frames,
            optimizer=optimizer,
            train=train,
            max_failed_share=max_failed_share,
            name_item=name_frame,
        )
        self.val_map = FrameMeanAveragePrecision()

    @property
    def scored(self) -> VideoModel:
        """What is validated and exported: the model, or the average over its steps."""
        return cast(VideoModel, super().scored)

    def batch_loss(self, batch: Any, *, seed: int) -> Tensor | None:
        """Return the mean loss over boxes and actions, None where there is no clip."""
        if not batch.clips:
            return None
        with self.drawing(seed):
            logits = box_logits(self.model, batch.clips, batch.boxes)  # (N, K)
        return F.binary_cross_entropy_with_logits(logits, batch.labels)

    def blank_loss(self) -> Tensor:
        """Return a loss of zero that all weights take part in, to keep step with others."""
        shape = self.model.preprocessing
        side = shape.image_size
        clip = torch.zeros(3, shape.num_frames, side, side, dtype=torch.uint8, device=self.device)
        box = torch.tensor([[0.0, 0.0, side, side]], device=self.device)
        return box_logits(self.model, [clip], [box]).sum() * 0

    def items_of(self, batch: Any) -> list[int]:
        """Return the key frame of each clip of a batch."""
        return list(batch.frames)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Score the annotated boxes, and keep the scores beside what is annotated."""
        self.val_failures.update({int(index): str(error) for index, error in batch.failures})
        logits = labels = torch.zeros(0, self.model.num_classes, device=self.device)
        boxes = logits.new_zeros(0, 4)
        if batch.clips:
            logits, labels = box_logits(self.scored, batch.clips, batch.boxes), batch.labels
            boxes = torch.cat(batch.boxes)
        frames = [n for n, own in zip(batch.frames, batch.boxes, strict=True) for _ in own]
        numbers = torch.tensor(frames, dtype=torch.int64, device=self.device)
        self.val_map.update(numbers, boxes, logits, labels)
        self.log("val_map", self.val_map, batch_size=len(frames), logger=False)
