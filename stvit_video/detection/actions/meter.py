"""Frame mAP of annotated boxes, as the processes of a training measure it together.

Legend: N boxes of a batch, K classes.
"""

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from stvit_video.detection.actions.frame_ap import (
    as_actions,
    frame_average_precision,
    mean_of,
)


class FrameMeanAveragePrecision(Metric):
    """Takes key frames, boxes, logits and labels; its mean is over the classes that occur."""

    full_state_update = False
    frames: list[Tensor]
    boxes: list[Tensor]
    logits: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("frames", "boxes", "logits", "labels"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, frames: Tensor, boxes: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Keep int64 (N,), (N, 4), (N, K) and (N, K), 1 for each action."""
        self.frames.append(frames)
        self.boxes.append(boxes)
        self.logits.append(logits.float())
        self.labels.append(labels)

    def compute(self) -> Tensor:
        """Return the mean: a scalar, nan of nothing."""
        frames, boxes, logits, labels = (
            dim_zero_cat(part).cpu().numpy()
            for part in (self.frames, self.boxes, self.logits, self.labels)
        )
        every = np.ones_like(logits)
        found = as_actions(frames, boxes, logits, every.astype(bool))
        truth = as_actions(frames, boxes, every, labels > 0)
        precisions = frame_average_precision(found, truth, num_classes=logits.shape[1])
        return torch.tensor(mean_of(precisions))
