"""Put a detector of torchvision on one of our networks.

Heads, matcher, losses and suppression are torchvision's; this file only wires.
"""

import dataclasses
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.ops.feature_pyramid_network import (
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from stvit_video.detection.networks.pyramid import build_pyramid
from stvit_video.errors import ConfigError
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import build_model
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig

OUT_CHANNELS = 256
"""Of every map that heads read."""


class DetectorBackbone(nn.Module):
    """Image to maps of equal width at five strides: our network, and torchvision's FPN."""

    out_channels = OUT_CHANNELS

    def __init__(self, model: VideoModel, *, levels: Sequence[int], extra: nn.Module) -> None:
        super().__init__()
        self.pyramid = build_pyramid(model, levels)
        self.fpn = FeaturePyramidNetwork(self.pyramid.channels, OUT_CHANNELS, cast(Any, extra))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) -> maps (B, 256, h, w) by name, the finest first."""
        maps = self.pyramid(images)
        return self.fpn(OrderedDict((str(number), found) for number, found in enumerate(maps)))


class Detector(nn.Module):
    """What detectors on our networks have beside what torchvision gives them."""

    settings: DetectorConfig
    """What it was built with."""
    labels: tuple[str, ...] = ()
    """Name of each class, label 1 first; empty when unknown."""

    if TYPE_CHECKING:
        backbone: DetectorBackbone
        roi_heads: Any
        head: Any

    @property
    def network(self) -> VideoModel:
        """Our network, below pyramid and heads."""
        return self.backbone.pyramid.model

    @property
    def num_classes(self) -> int:
        """Classes, the background among them."""
        if isinstance(self, RetinaNet):
            return int(self.head.classification_head.num_classes)
        return int(self.roi_heads.box_predictor.cls_score.out_features)

    @property
    def finds_masks(self) -> bool:
        """Whether it says which pixels belong to an object."""
        return self.settings.name == "mask_rcnn"

    def no_weight_decay(self) -> set[str]:
        """Name the parameters that never decay, besides those of one axis."""
        return {_NETWORK + name for name in self.network.no_weight_decay()}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say which layer of the network a parameter belongs to; last comes all that is above."""
        own = self.network.group_matcher(coarse)
        start = re.escape(_NETWORK)
        blocks = [(f"^{start}{pattern[1:]}", number) for pattern, number in own["blocks"]]
        return {"stem": f"^{start}{own['stem'][1:]}", "blocks": blocks}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of each block of the network in training."""
        self.network.set_grad_checkpointing(enable)


_NETWORK = "backbone.pyramid.model."


class OurMaskRCNN(Detector, MaskRCNN):
    """Mask R-CNN on one of our networks."""


class OurFasterRCNN(Detector, FasterRCNN):
    """Faster R-CNN on one of our networks."""


class OurRetinaNet(Detector, RetinaNet):
    """RetinaNet on one of our networks."""


def build_detector(config: ModelConfig, settings: DetectorConfig, *, num_classes: int) -> Detector:
    """Build a detector from its settings; weights of a network may come along.

    Raises as `create_detector`.
    """
    if num_classes < 2:
        raise ConfigError(
            f"num_classes ({num_classes}) must be at least 2: the background counts as one"
        )
    network = build_model(dataclasses.replace(config, attentive_blocks=0), num_classes=0)
    return wire(network, settings, num_classes=num_classes)


def wire(network: VideoModel, settings: DetectorConfig, *, num_classes: int) -> Detector:
    """Put a detector on a network without a head; what reads whole clips is taken off it."""
    network.reader = None
    shape = network.preprocessing
    turn = -1 if shape.channel_order == "bgr" else 1  # the pyramid turns the channels
    common: dict[str, Any] = {
        "min_size": (*(settings.train_min_sizes or ()), settings.min_size),
        "max_size": settings.max_size,
        "image_mean": list(shape.mean[::turn]),
        "image_std": list(shape.std[::turn]),
    }
    detector: Detector
    if settings.name == "retinanet":
        last = LastLevelP6P7(OUT_CHANNELS, OUT_CHANNELS)
        backbone = DetectorBackbone(network, levels=(1, 2, 3), extra=last)
        common["score_thresh"] = settings.score_threshold
        detector = OurRetinaNet(backbone, num_classes, **common)
    elif settings.name in ("mask_rcnn", "faster_rcnn"):
        backbone = DetectorBackbone(network, levels=range(4), extra=LastLevelMaxPool())
        kind = OurMaskRCNN if settings.name == "mask_rcnn" else OurFasterRCNN
        common["box_score_thresh"] = settings.score_threshold
        detector = kind(backbone, num_classes, **common)
    else:
        raise ConfigError(
            f"detector ({settings.name}) must be mask_rcnn, faster_rcnn or retinanet; cascades wait"
            " for heads that are kept up"
        )
    detector.settings = settings
    return detector
