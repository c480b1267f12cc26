"""`stvit-video evaluate`: measure the accuracy of a trained model."""

from stvit_video.errors import ConfigError
from stvit_video.files import OutputFolder, ResultFile
from stvit_video.settings.bounds import Count, Whole
from stvit_video.settings.data import Backend
from stvit_video.settings.paths import CheckpointSource, InputPath, VideosPath
from stvit_video.settings.views import Combine, NumCrops


def evaluate(  # noqa: PLR0913 this is a command line
    checkpoint: CheckpointSource,
    videos: VideosPath,
    *,
    media: InputPath | None = None,
    num_clips: Count | None = None,
    num_crops: NumCrops | None = None,
    join_clips: bool | None = None,
    combine: Combine | None = None,
    batch_size: Count = 16,
    num_workers: Whole = 2,
    backend: Backend | None = None,
    max_pixels: Count | None = None,
    device: str = "auto",
    output_dir: OutputFolder | None = None,
    predictions: ResultFile | None = None,
    json: ResultFile | None = None,
) -> None:
    """Measure the accuracy of a trained model over several views of each video; of a detector,
    the average precision of what it finds in images.

    Args:
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        videos: Folder of class folders, or a manifest; for a detector COCO's JSON.
        media: Folder of the images that COCO's JSON names; by default that of the JSON.
        num_clips: Clips of each video; by default as in the settings of the training.
        num_crops: Crops of each clip, 1 or 3; by default as in the settings of the training.
        join_clips: Let an attentive pooler read all clips of a crop at once, as V-JEPA 2's probes
            do; by default as in the settings of the training.
        combine: mean_probability or mean_logit; by default as in the settings of the training.
        batch_size: Views per forward pass.
        num_workers: Processes that decode, for each GPU.
        backend: What decodes: auto, decord, pyav or torchcodec; by default as in the training.
        max_pixels: Width times height of a picture above which a video is refused; by default as
            in the training.
        device: auto (all GPUs of this machine, else the CPU), cpu, cuda or cuda:1.
        output_dir: Keep every score in this folder as it comes, and tables of them; where it
            holds scores of the same evaluation, go on from there.
        predictions: Write the best classes of every video to this JSON file, or what a detector
            finds, as COCO's evaluation reads it.
        json: Write the result here; `-` is standard output.
    """
    from rich.console import Console

    from stvit_video.detection.networks.checkpoint import find_detector
    from stvit_video.detection.pictures.run import (
        Reading,
        refuse_of_clips,
        run_detection_evaluation,
    )
    from stvit_video.evaluation.report import print_report
    from stvit_video.evaluation.run import Results, run_evaluation
    from stvit_video.evaluation.team import is_first_process
    from stvit_video.evaluation.trained_settings import trained_settings
    from stvit_video.models.checkpoint import load_model
    from stvit_video.models.device import choose_devices
    from stvit_video.report.json_file import result_console, write_json

    if find_detector(checkpoint) is not None:
        refuse_of_clips(
            checkpoint,
            num_clips=num_clips,
            num_crops=num_crops,
            join_clips=join_clips,
            combine=combine,
            backend=backend,
            output_dir=output_dir,
        )
        reading = Reading(choose_devices(device)[0], batch_size, num_workers, max_pixels)
        files = {"media": media, "predictions": predictions, "json": json}
        run_detection_evaluation(checkpoint, videos, reading=reading, **files)
        return
    if media is not None:
        raise ConfigError(f"media ({media}) is for detectors; {checkpoint} classifies videos")
    model = load_model(checkpoint)
    data, views = trained_settings(
        checkpoint,
        views={"num_clips": num_clips, "num_crops": num_crops, "combine": combine}
        | {"join_clips": join_clips},
        data={"num_workers": num_workers, "backend": backend, "max_pixels": max_pixels},
    )
    console = result_console(json) if is_first_process() else Console(quiet=True)
    report = run_evaluation(
        model,
        videos,
        data=data,
        views=views,
        devices=choose_devices(device),
        batch_size=batch_size,
        results=Results(folder=output_dir, predictions=predictions),
        progress=(console, "evaluating"),
    )
    if is_first_process():
        write_json(report, json)
    print_report(report, console)
