"""`stvit-video evaluate`: measure the accuracy of a trained model."""

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Count, Whole
from stvit_video.settings.data import Backend
from stvit_video.settings.paths import CheckpointSource, VideosPath
from stvit_video.settings.views import Combine, NumCrops


def evaluate(  # noqa: PLR0913 this is a command line
    checkpoint: CheckpointSource,
    videos: VideosPath,
    *,
    num_clips: Count | None = None,
    num_crops: NumCrops | None = None,
    combine: Combine | None = None,
    batch_size: Count = 16,
    num_workers: Whole = 2,
    backend: Backend | None = None,
    device: str = "auto",
    predictions: ResultFile | None = None,
    json: ResultFile | None = None,
) -> None:
    """Measure the accuracy of a trained model over several views of each video.

    Args:
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        videos: Folder of class folders, or a manifest.
        num_clips: Clips of each video; by default as in the settings of the training.
        num_crops: Crops of each clip, 1 or 3; by default as in the settings of the training.
        combine: mean_probability or mean_logit; by default as in the settings of the training.
        batch_size: Views per forward pass.
        num_workers: Processes that decode.
        backend: What decodes: auto, decord, pyav or torchcodec; by default as in the training.
        device: auto, cpu, cuda or cuda:1.
        predictions: Write the best classes of every video to this JSON file.
        json: Write the result here; `-` is standard output.
    """
    from stvit_video.evaluation.run import run_evaluation
    from stvit_video.evaluation.trained_settings import trained_settings
    from stvit_video.models.checkpoint import load_model
    from stvit_video.models.device import choose_device
    from stvit_video.report.json_file import result_console, write_json

    model = load_model(checkpoint)
    data, views = trained_settings(
        checkpoint,
        views={"num_clips": num_clips, "num_crops": num_crops, "combine": combine},
        data={"num_workers": num_workers, "backend": backend},
    )
    console = result_console(json)
    report = run_evaluation(
        model,
        videos,
        data=data,
        views=views,
        device=choose_device(device),
        batch_size=batch_size,
        predictions=predictions,
        progress=(console, "evaluating"),
    )
    console.print(
        f"top-1 {100 * report.top1:.2f} %, top-5 {100 * report.top5:.2f} %,"
        f" mean over classes {100 * report.mean_class:.2f} % on {report.coverage},"
        f" {report.num_clips} clips x {report.num_crops} crops, {report.combine}"
    )
    for error in report.failed:
        console.print(f"does not decode: {error}")
    write_json(report, json)
