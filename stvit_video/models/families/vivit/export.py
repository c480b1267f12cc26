"""ViViT model 1 in the words of HF transformers."""

from typing import Any

from stvit_video.models.exported import OWN_KEY, Exported
from stvit_video.models.families.vit.export import token_vit
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.weights.export import config_of, processor_of, recipe_of


def export(model: VideoModel) -> Exported:
    """Say a ViViT of joint attention, with its head or without.

    Its processor brings pixels to -1..1 ahead of the colours, which are said for that range.

    Raises:
        CheckpointError: it has no class token, or what `refuse_unsaid` names.
    """
    row: Any = recipe_of(model).variant
    shape = model.preprocessing
    has_head = model.num_classes > 0
    architecture = "VivitForVideoClassification" if has_head else "VivitModel"
    weights, more, notes = token_vit(model, architecture, "vivit.", row.tubelet_size)
    config = {
        **config_of(model, architecture, "vivit"),
        "num_frames": shape.num_frames,
        "tubelet_size": list(row.tubelet_size),
        **more,
    }
    config[OWN_KEY] |= {"mean": list(shape.mean), "std": list(shape.std)}
    processor = {
        **processor_of(model, image_processor_type="VivitImageProcessor"),
        "rescale_factor": 1 / 127.5,
        "offset": True,
        "image_mean": [2 * x - 1 for x in shape.mean],
        "image_std": [2 * x for x in shape.std],
    }
    return Exported(
        architecture=architecture,
        config=config,
        weights=weights,
        processor=processor,
        notes=notes,
    )
