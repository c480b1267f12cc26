"""`stvit-video convert`: turn weights into a checkpoint folder, ours or one of HF transformers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stvit_video.files import OutputFolder, ResultFile, check_own
from stvit_video.settings.output import FolderKind
from stvit_video.settings.paths import LabelsPath, WeightsSource

if TYPE_CHECKING:
    from stvit_video.models.network.video_model import VideoModel


def convert(  # noqa: PLR0913 this is a command line
    source: WeightsSource,
    *,
    model: str | None = None,
    output: OutputFolder,
    to: FolderKind = "stvit-video",
    semantic: str | None = None,
    probe: WeightsSource | None = None,
    entry: str | None = None,
    labels: LabelsPath | None = None,
    json: ResultFile | None = None,
) -> None:
    """Turn weights into a folder with model.safetensors and model.json, or one of transformers.

    Args:
        source: File, folder or hub id, as in MCG-NJU/videomae-base-finetuned-kinetics.
        model: Name of the model that they belong to; stvit-video models lists all. May be left
            out for a run or a folder that says it.
        output: Folder to write.
        to: Who reads the folder: stvit-video, or from_pretrained of HF transformers.
        semantic: Setting such as 8x4x4@4, to begin a semantic model from dense weights.
        probe: File of pooler and head, where they are not in the source, as those of V-JEPA 2.
        entry: Which entry of a file that holds several, such as model_ema.
        labels: Class names in the order of their index, as in data/classes, where the source
            names none.
        json: Write what was done here; `-` is standard output.
    """
    from stvit_video.datasets.layouts.class_names import read_class_names
    from stvit_video.models.card import WEIGHTS_FILE
    from stvit_video.models.checkpoint import find_name, write_checkpoint
    from stvit_video.models.registry import create_model
    from stvit_video.models.transformers_folder import write_transformers
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.terminal import say

    check_own("output", output, is_own=_is_own(output, to))
    name = find_name(source) if model is None else model
    names = None if labels is None else read_class_names(labels)
    network = create_model(
        name,
        pretrained=source,
        semantic=semantic,
        pretrained_probe=probe,
        pretrained_entry=entry,
    )
    exported = None if to == "stvit-video" else write_transformers(network, output, labels=names)
    if exported is None:
        write_checkpoint(network, output, labels=names, source=source)
    notes = exported.notes if exported else ()
    architecture = exported.architecture if exported else None
    path, facts = output / WEIGHTS_FILE, _facts(network)
    made = {"weights": path, "model": name, "to": to, "architecture": architecture}
    kept = {"semantic": semantic, "source": source, "labels": names or network.labels}
    write_json(made | kept | facts | {"notes": notes}, json)
    say(
        result_console(json),
        *network.key_report.lines(),
        *notes,
        f"{path}: {architecture or name}, {facts['parameters'] / 1e6:.1f} M parameters,"
        f" licence {facts['license']}",
    )


def _is_own(folder: Path, to: FolderKind) -> bool:
    """Say whether a folder holds a model that an earlier conversion wrote, and no run."""
    from stvit_video.models.card import CARD_FILE, WEIGHTS_FILE
    from stvit_video.models.exported import is_exported

    names = {path.name for path in folder.glob("*")}
    if to == "transformers":
        return names <= {_PAGE} or is_exported(folder)
    return CARD_FILE in names and names <= {CARD_FILE, WEIGHTS_FILE, _PAGE}


_PAGE = "README.md"


def _facts(network: "VideoModel") -> dict[str, Any]:
    """Say of a network what its checkpoint does not repeat."""
    return {
        "license": "unknown" if network.recipe is None else network.recipe.variant.license,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "keys": network.key_report,
    }
