"""What a detector of torchvision says of images, checked and brought to the CPU.

Legend: B images, n objects, H W pixels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stvit_video.datasets.coco.masks import Runs, encode_mask
from stvit_video.errors import CheckpointError

_INSIDE = 0.5
"""Probability above which a pixel belongs to an object, as in torchvision's references."""


class Detections(NamedTuple):
    """The objects that were found in one image, the surest first."""

    boxes: Tensor
    """float32 (n, 4): left, top, right, bottom in pixels."""
    labels: list[int]
    """n labels, from 1."""
    scores: list[float]
    masks: list[Runs] | None
    """n masks; None of a detector without."""


def detect(
    detector: nn.Module, images: Sequence[Tensor], *, least: float = 0.0
) -> list[Detections]:
    """Find the objects of uint8 images (3, H, W) on the device of the detector.

    Objects of a score below `least` are left out.

    Raises:
        CheckpointError: an answer is no number.
    """
    answers = detector([image.float() / 255 for image in images]) if images else []
    return [_read(answer, least) for answer in answers]


def _read(answer: dict[str, Tensor], least: float) -> Detections:
    boxes, scores = (answer[name].float().cpu() for name in ("boxes", "scores"))
    if not (boxes.isfinite().all() and scores.isfinite().all()):
        raise CheckpointError("the detector gives no numbers; its weights are broken")
    kept = (scores >= least).nonzero().flatten()
    masks = None
    if "masks" in answer:  # (n, 1, H, W): one at a time, a thousand may be gigabytes
        chosen: Any = (answer["masks"][int(place), 0] > _INSIDE for place in kept)
        masks = [encode_mask(mask.cpu().numpy().astype(np.bool_)) for mask in chosen]
    return Detections(
        boxes[kept], answer["labels"].cpu()[kept].tolist(), scores[kept].tolist(), masks
    )


def device_of(detector: nn.Module) -> torch.device:
    """Return where the weights are; the CPU where there are none."""
    return next((weight.device for weight in detector.parameters()), torch.device("cpu"))
