"""`stvit-video convert`: turn published weights into a checkpoint folder."""

from stvit_video.files import OutputFolder, ResultFile
from stvit_video.settings.paths import LabelsPath, WeightsSource


def convert(
    source: WeightsSource,
    *,
    model: str,
    output: OutputFolder,
    semantic: str | None = None,
    probe: WeightsSource | None = None,
    entry: str | None = None,
    labels: LabelsPath | None = None,
    json: ResultFile | None = None,
) -> None:
    """Turn published weights into a folder with model.safetensors and model.json.

    Args:
        source: File, folder or hub id, as in MCG-NJU/videomae-base-finetuned-kinetics.
        model: Name of the model that they belong to; stvit-video models lists all.
        output: Folder to write.
        semantic: Setting such as 8x4x4@4, to begin a semantic model from dense weights.
        probe: File of pooler and head, where they are not in the source, as those of V-JEPA 2.
        entry: Which entry of a file that holds several, such as model_ema.
        labels: Class names in the order of their index, as in data/classes, where the source
            names none.
        json: Write what was done here; `-` is standard output.
    """
    from stvit_video.datasets.layouts.annotations import read_class_names
    from stvit_video.models.checkpoint import write_checkpoint
    from stvit_video.models.registry import create_model
    from stvit_video.report.json_file import result_console, write_json

    names = None if labels is None else read_class_names(labels)
    network = create_model(
        model,
        pretrained=source,
        semantic=semantic,
        pretrained_probe=probe,
        pretrained_entry=entry,
    )
    path = write_checkpoint(network, output, labels=names, source=source)
    recipe, report = network.recipe, network.key_report
    console = result_console(json)
    for line in report.lines():
        console.print(line, soft_wrap=True)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    license_name = "unknown" if recipe is None else recipe.variant.license
    console.print(
        f"{path}: {model}, {num_parameters / 1e6:.1f} M parameters, licence {license_name}",
        soft_wrap=True,
    )
    write_json(
        {
            "weights": path,
            "model": model,
            "semantic": semantic,
            "source": source,
            "license": license_name,
            "parameters": num_parameters,
            "labels": names if names is not None else network.labels,
            "keys": report,
        },
        json,
    )
