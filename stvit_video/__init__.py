"""Fast video transformers by clustering their tokens. Names load when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stvit_video.detection.networks.checkpoint import load_detector as load_detector
    from stvit_video.detection.networks.checkpoint import write_detector as write_detector
    from stvit_video.detection.networks.create import create_detector as create_detector
    from stvit_video.errors import StvitVideoError as StvitVideoError
    from stvit_video.errors import VideoDecodeError as VideoDecodeError
    from stvit_video.evaluation.evaluate_checkpoint import evaluate as evaluate
    from stvit_video.evaluation.predict_video import predict_video as predict_video
    from stvit_video.evaluation.prediction import VideoPrediction as VideoPrediction
    from stvit_video.evaluation.predictor import Predictor as Predictor
    from stvit_video.evaluation.timeline import Timeline as Timeline
    from stvit_video.models.checkpoint import load_model as load_model
    from stvit_video.models.checkpoint import write_checkpoint as write_checkpoint
    from stvit_video.models.hub import from_pretrained as from_pretrained
    from stvit_video.models.hub import push_to_hub as push_to_hub
    from stvit_video.models.network.fuse import fuse as fuse
    from stvit_video.models.network.video_model import VideoModel as VideoModel
    from stvit_video.models.registry import create_model as create_model
    from stvit_video.models.registry import list_models as list_models
    from stvit_video.models.sparsify import sparsify as sparsify
    from stvit_video.models.transformers_folder import write_transformers as write_transformers
    from stvit_video.settings.grammar import SemanticConfig as SemanticConfig
    from stvit_video.settings.model import ModelConfig as ModelConfig
    from stvit_video.settings.model import Preprocessing as Preprocessing
    from stvit_video.settings.training import RunConfig as RunConfig
    from stvit_video.training.train import train as train
    from stvit_video.video.decoding.decoder import VideoInfo as VideoInfo
    from stvit_video.video.decoding.open import probe_video as probe_video
    from stvit_video.video.decoding.open import read_clips as read_clips
    from stvit_video.video.decoding.open import read_frames as read_frames
    from stvit_video.video.pixels.crops import preprocess as preprocess
    from stvit_video.visualize.plot_clusters import plot_clusters as plot_clusters

_HOMES = {
    "ModelConfig": "stvit_video.settings.model",
    "Predictor": "stvit_video.evaluation.predictor",
    "Preprocessing": "stvit_video.settings.model",
    "RunConfig": "stvit_video.settings.training",
    "SemanticConfig": "stvit_video.settings.grammar",
    "StvitVideoError": "stvit_video.errors",
    "Timeline": "stvit_video.evaluation.timeline",
    "VideoDecodeError": "stvit_video.errors",
    "VideoInfo": "stvit_video.video.decoding.decoder",
    "VideoModel": "stvit_video.models.network.video_model",
    "VideoPrediction": "stvit_video.evaluation.prediction",
    "create_detector": "stvit_video.detection.networks.create",
    "create_model": "stvit_video.models.registry",
    "evaluate": "stvit_video.evaluation.evaluate_checkpoint",
    "from_pretrained": "stvit_video.models.hub",
    "fuse": "stvit_video.models.network.fuse",
    "list_models": "stvit_video.models.registry",
    "load_detector": "stvit_video.detection.networks.checkpoint",
    "load_model": "stvit_video.models.checkpoint",
    "plot_clusters": "stvit_video.visualize.plot_clusters",
    "predict_video": "stvit_video.evaluation.predict_video",
    "preprocess": "stvit_video.video.pixels.crops",
    "probe_video": "stvit_video.video.decoding.open",
    "push_to_hub": "stvit_video.models.hub",
    "read_clips": "stvit_video.video.decoding.open",
    "read_frames": "stvit_video.video.decoding.open",
    "sparsify": "stvit_video.models.sparsify",
    "train": "stvit_video.training.train",
    "write_checkpoint": "stvit_video.models.checkpoint",
    "write_detector": "stvit_video.detection.networks.checkpoint",
    "write_transformers": "stvit_video.models.transformers_folder",
}
"""Public name -> the module that holds it; none of them is imported before its first use."""

__all__ = [
    "ModelConfig",
    "Predictor",
    "Preprocessing",
    "RunConfig",
    "SemanticConfig",
    "StvitVideoError",
    "Timeline",
    "VideoDecodeError",
    "VideoInfo",
    "VideoModel",
    "VideoPrediction",
    "create_detector",
    "create_model",
    "evaluate",
    "from_pretrained",
    "fuse",
    "list_models",
    "load_detector",
    "load_model",
    "plot_clusters",
    "predict_video",
    "preprocess",
    "probe_video",
    "push_to_hub",
    "read_clips",
    "read_frames",
    "sparsify",
    "train",
    "write_checkpoint",
    "write_detector",
    "write_transformers",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stvit_video' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
