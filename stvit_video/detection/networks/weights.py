"""Start a detector from weights: of a classifier, of a published detector, or of one of ours."""

import logging
import re

import torch
from torch import Tensor

from stvit_video.detection.networks.build import Detector, build_detector
from stvit_video.detection.networks.checkpoint import find_detector, load_detector
from stvit_video.detection.networks.pyramid import SwinPyramid
from stvit_video.errors import CheckpointError
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.weights.files import find_files
from stvit_video.models.weights.names import Weights, unwrap
from stvit_video.models.weights.read import read_shards
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig

_NORM = re.compile(r"(?:backbone\.)?norm([0-2])\.(weight|bias)")

_log = logging.getLogger(__name__)


def load_pretrained_detector(
    config: ModelConfig, settings: DetectorConfig, *, num_classes: int
) -> Detector:
    """Build a detector, from random weights or from `config.pretrained`.

    Raises as `create_detector`.
    """
    source = config.pretrained
    if source is None or find_detector(source) is None:
        detector = build_detector(config, settings, num_classes=num_classes)
        if source is not None:
            _load_norms(detector, source)
        return detector
    trained = load_detector(source)
    network = trained.network
    if network.name != config.name:
        raise CheckpointError(f"{source} holds a detector on {network.name}, not on {config.name}")
    detector = build_detector(
        ModelConfig(
            name=config.name,
            semantic=config.semantic or _semantic_of(network),
            image_size=network.preprocessing.image_size,
            drop_path=config.drop_path,
        ),
        settings,
        num_classes=num_classes,
    )
    _load_what_fits(detector, trained.state_dict(), source)
    return detector


def _semantic_of(network: VideoModel) -> str | None:
    assert network.recipe is not None
    return "+".join(map(str, network.recipe.options.semantic)) or None


def _load_norms(detector: Detector, source: str) -> None:
    """Fill the norms of the finer maps, which only detection checkpoints of Swin hold."""
    pyramid = detector.backbone.pyramid
    if not isinstance(pyramid, SwinPyramid):
        return
    weights = unwrap(read_shards(find_files(source).weights), source)
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        if match := _NORM.fullmatch(key):
            found[f"{match[1]}.{match[2]}"] = value
    own = pyramid.norms.state_dict()
    fitting = {key: value for key, value in found.items() if key in own}
    for key, value in fitting.items():
        if value.shape != own[key].shape:
            raise CheckpointError(
                f"{source}: norm{key} has {tuple(value.shape)}, the map {tuple(own[key].shape)}"
            )
    pyramid.norms.load_state_dict(fitting, strict=False)


def _load_what_fits(detector: Detector, weights: Weights, source: str) -> None:
    """Take up all weights of a trained detector but those of heads for other classes.

    Raises:
        CheckpointError: the networks differ.
    """
    own = detector.state_dict()
    fitting = {
        key: value for key, value in weights.items() if key in own and own[key].shape == value.shape
    }
    left = [key for key in own if key not in fitting]
    if wrong := [key for key in left if key.startswith("backbone.")]:
        raise CheckpointError(f"{source} does not fit: {wrong[0]} is missing or of another size")
    with torch.no_grad():
        detector.load_state_dict(fitting, strict=False)
    if left:
        _log.warning(
            "%s: heads of another kind or number of classes, so %s and %s more are new",
            *(source, left[0], len(left) - 1),
        )
