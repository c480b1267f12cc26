"""Which patches of an image each semantic token of a detector gathers.

Legend: S semantic tokens, h w places of the grid that they gather.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.detection.networks.build import Detector
from stvit_video.models.network.stages import GatheringStage


class ImageClusters(NamedTuple):
    """What the tokens of the first semantic stage read of an image."""

    weights: NDArray[np.float32]
    """(S, h, w)."""
    covered: tuple[float, float]
    """Height and width of the part of the grid that the image fills; the rest is padding."""


def find_clusters(detector: Detector, image: Tensor) -> ImageClusters | None:
    """Read the clusters of a uint8 image (3, H, W); None of a network without semantic tokens."""
    network = detector.network
    if not any(isinstance(stage, GatheringStage) for stage in network.stages):
        return None
    transform: Any = detector.transform
    batch, _ = transform([image.float() / 255])
    clips = detector.backbone.pyramid.clips(batch.tensors)
    weights = network.forward_assignments(clips)[0, :, 0]  # (S, h, w)
    sides = zip(batch.image_sizes[0], batch.tensors.shape[-2:], strict=True)
    height, width = (own / padded for own, padded in sides)
    return ImageClusters(weights.float().cpu().numpy(), (height, width))
