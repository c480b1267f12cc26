"""Fast video transformers by clustering their tokens. Names load when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stvit_video.commands.predict import predict_video as predict_video
    from stvit_video.models.checkpoint import load_model as load_model
    from stvit_video.models.checkpoint import write_checkpoint as write_checkpoint
    from stvit_video.models.network.fuse import fuse as fuse
    from stvit_video.models.registry import create_model as create_model
    from stvit_video.models.registry import list_models as list_models
    from stvit_video.models.sparsify import sparsify as sparsify

_HOMES = {
    "create_model": "stvit_video.models.registry",
    "fuse": "stvit_video.models.network.fuse",
    "list_models": "stvit_video.models.registry",
    "load_model": "stvit_video.models.checkpoint",
    "predict_video": "stvit_video.commands.predict",
    "sparsify": "stvit_video.models.sparsify",
    "write_checkpoint": "stvit_video.models.checkpoint",
}
"""Public name -> the module that holds it; none of them is imported before its first use."""

__all__ = [
    "create_model",
    "fuse",
    "list_models",
    "load_model",
    "predict_video",
    "sparsify",
    "write_checkpoint",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'stvit_video' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
