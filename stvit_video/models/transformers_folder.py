"""Folders that `from_pretrained` of HF transformers reads; transformers itself is not needed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from stvit_video.errors import CheckpointError
from stvit_video.files import replacing, write_file
from stvit_video.models.card import CARD_FILE, WEIGHTS_FILE, check_labels
from stvit_video.models.exported import Exported
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import Recipe

_TASKS = {
    "ForVideoClassification": "video-classification",
    "ForImageClassification": "image-classification",
}

_PROCESSOR_FILES = (
    "processor_config.json",
    "video_preprocessor_config.json",
    "preprocessor_config.json",
)
"""In the order in which transformers looks for what makes a clip of frames."""


def write_transformers(
    model: VideoModel,
    folder: str | Path,
    *,
    labels: tuple[str, ...] | None = None,
) -> Exported:
    """Write a dense model as HF transformers has it: `config.json`, weights, processor, README.

    `labels` default to those of the model; a README that is there stays. The result holds what was
    written: its `architecture` is the class that reads it, its `notes` say what is not as it was.
    `load_model` reads the folder, too.

    Raises:
        CheckpointError: the model was not made by us, transformers has no such model or no word
            for one of its settings, or the folder holds another model.
        WriteError: the disk refuses a file; the one that was there before still is.
    """
    recipe = getattr(model, "recipe", None)
    if recipe is None:
        raise CheckpointError(
            f"cannot write {type(model).__name__}: only models of create_model and sparsify are"
            " written"
        )
    if recipe.variant.export is None:
        raise CheckpointError(
            f"{recipe.name} is no model of transformers; keep it in a folder of stvit-video:"
            " convert without --to"
        )
    names = model.labels if labels is None else tuple(labels)
    check_labels(names, recipe.name, model.num_classes)
    exported, folder = recipe.variant.export(model), Path(folder)
    for name in (CARD_FILE, *_PROCESSOR_FILES):
        if name != exported.processor_file and (folder / name).exists():
            raise CheckpointError(
                f"output ({folder}) holds {name} of another model; choose another folder"
            )
    config = exported.config | _labels(names, model)
    exported = dataclasses.replace(exported, config=config)
    _write(exported, folder, _readme(recipe, exported))
    return exported


def _labels(names: tuple[str, ...], model: VideoModel) -> dict[str, Any]:
    """Return the classes as a config has them; `LABEL_0` is its way of having no name."""
    names = names or tuple(f"LABEL_{index}" for index in range(model.num_classes))
    fields: dict[str, Any] = {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }
    if model.multi_label:
        fields["problem_type"] = "multi_label_classification"
    return fields


def _write(exported: Exported, folder: Path, readme: str) -> None:
    """Write each file whole, `config.json` last: without it no library takes the folder for one."""
    with replacing(folder / WEIGHTS_FILE, SafetensorError) as partial_path:
        weights = {key: value.contiguous() for key, value in exported.weights.items()}
        save_file(weights, partial_path, metadata={"format": "pt"})
    if not (folder / "README.md").exists():
        write_file(folder / "README.md", readme)
    for name, content in (
        (exported.processor_file, exported.processor),
        ("config.json", exported.config),
    ):
        write_file(folder / name, json.dumps(content, indent=2) + "\n")


def _readme(recipe: Recipe, exported: Exported) -> str:
    """Return the page of the hub: licence, source, and which frames, which no config can say."""
    row, shape = recipe.variant, recipe.options.preprocessing
    task = next((t for end, t in _TASKS.items() if end in exported.architecture), None)
    head = {
        "license": row.license.lower(),
        "library_name": "transformers",
        "pipeline_tag": task,
    }
    size = f"{shape.image_size} x {shape.image_size} pixels"
    frames = (
        f"clips of {shape.num_frames} frames, each the frame {shape.frame_stride} after the last"
    )
    lines = (
        "---",
        *(f"{key}: {value}" for key, value in head.items() if value),
        "---",
        "",
        f"`{exported.architecture}` of HF transformers, written by stvit-video: its"
        f" `{recipe.name}`, from {row.source}.",
        "",
        f"It reads {frames if shape.num_frames > 1 else 'images'}, {size}.",
    )
    return "\n".join(lines) + "\n"
