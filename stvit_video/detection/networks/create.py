"""The front door to detectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from stvit_video.detection.networks.build import Detector
from stvit_video.detection.networks.weights import load_pretrained_detector
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig


def create_detector(  # noqa: PLR0913 one front door, as `create_model`
    name: str,
    *,
    num_classes: int,
    detector: str = "mask_rcnn",
    pretrained: str | Path | None = None,
    semantic: str | None = None,
    image_size: int | None = None,
    drop_path: float = 0.0,
    min_size: int = 800,
    max_size: int = 1333,
    train_min_sizes: Sequence[int] | None = None,
    score_threshold: float = 0.05,
) -> Detector:
    """Build a detector of torchvision on a network of `create_model`: images of any size.

    `name`, `semantic` and `image_size` are those of `create_model`; without `semantic` STViT-R rows
    recover the tokens of every place, and others are dense. Where tokens are not recovered, each
    place takes the nearest of them. `num_classes` counts the background, labels begin at 1, images
    are RGB in 0..1 and differ in size, targets and losses are torchvision's.

    `detector` is `mask_rcnn`, `faster_rcnn` or `retinanet`. `pretrained` is what `create_model`
    reads (the head of a classifier is left out), a detection checkpoint of Swin or STViT-R
    (its neck and heads are mmdetection's and left out), or the folder of a detector of ours.

    Raises:
        ConfigError: an unknown name, or a setting that does not fit.
        CheckpointError: weights that cannot be read, or are of another model.
    """
    model = ModelConfig(
        name=name,
        semantic=semantic,
        image_size=image_size,
        drop_path=drop_path,
        pretrained=None if pretrained is None else str(pretrained),
    )
    settings = DetectorConfig(
        name=cast(Any, detector),
        min_size=min_size,
        max_size=max_size,
        train_min_sizes=None if train_min_sizes is None else tuple(train_min_sizes),
        score_threshold=score_threshold,
    )
    return load_pretrained_detector(model, settings, num_classes=num_classes)
