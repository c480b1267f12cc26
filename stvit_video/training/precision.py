"""Mean average precision, as the processes of a training measure it together.

Legend: B videos of a batch, K classes.
"""

import torch
from torch import Tensor
from torchmetrics.classification import MultilabelAveragePrecision
from torchmetrics.functional.classification import multilabel_average_precision
from torchmetrics.utilities import dim_zero_cat


class MeanAveragePrecision(MultilabelAveragePrecision):
    """Takes logits (B, K) and labels 0 or 1 (B, K); its mean is over the classes with a video."""

    def compute(self) -> Tensor:  # type: ignore[override]  # its parent returns curves
        """Return the mean: a scalar, nan of nothing."""
        scores, labels = dim_zero_cat(self.preds), dim_zero_cat(self.target)
        has_videos = labels.bool().any(dim=0)
        if not has_videos.any():
            return torch.tensor(float("nan"), device=scores.device)
        return multilabel_average_precision(
            scores[:, has_videos],
            labels[:, has_videos],
            num_labels=int(has_videos.sum()),
            validate_args=False,
        )
