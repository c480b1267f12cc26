"""What a list of models says of each."""

from typing import Any

import torch

from stvit_video.errors import ConfigError
from stvit_video.models.registry import create_model, find_variant


def describe_model(name: str, semantic: str | None) -> dict[str, Any]:
    """Say what a model is, dense where the setting does not fit it.

    It is built on the meta device, so size costs nothing.
    """
    variant = find_variant(name)
    model: Any
    refusal = None
    with torch.device("meta"):
        try:
            model = create_model(name, semantic=semantic)
        except ConfigError as error:
            refusal = str(error)
            model = create_model(name)
    counts = model.token_counts()
    return {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_frames": model.preprocessing.num_frames,
        "frame_stride": model.preprocessing.frame_stride,
        "image_size": model.preprocessing.image_size,
        "tokens": counts["input"],
        "semantic_tokens": None if refusal else counts["semantic"],
        "refusal": refusal,
        "source": variant.source,
        "license": variant.license,
    }
