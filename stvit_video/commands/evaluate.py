"""`stvit-video evaluate`: measure the accuracy of a trained model."""

from stvit_video.files import OutputFolder, ResultFile
from stvit_video.settings.bounds import Count, Whole
from stvit_video.settings.data import Backend
from stvit_video.settings.detection import ActionFilesConfig
from stvit_video.settings.durations import Duration
from stvit_video.settings.paths import CheckpointSource, InputPath, VideosPath
from stvit_video.settings.views import Combine, NumCrops

_ACTIONS = ActionFilesConfig()


def evaluate_(  # noqa: PLR0913 this is a command line
    videos: VideosPath,
    *,
    checkpoint: CheckpointSource,
    media: InputPath | None = None,
    actions: ActionFilesConfig = _ACTIONS,
    window: Duration | None = None,
    stride: Duration | None = None,
    subset: str | None = None,
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

    Of a detector of actions: the frame mAP, on AVA's annotations. With a window or a stride: the
    mAP of the segments that a classifier of windows finds, on ActivityNet's annotations.

    Args:
        videos: Folder of class folders, or a manifest; for a detector COCO's JSON, of
            actions AVA's CSV; for segments ActivityNet's JSON.
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        media: Folder of the images or videos that such a file names; by default that of the file.
        actions: What a detector of actions is measured on, beside annotations and films.
        window: Classify stretches of this length, such as 2s, and measure segments; by default,
            where a stride is given, as long as a clip of the model.
        stride: From the start of a window to that of the next; by default the window.
        subset: Part of ActivityNet's annotations; by default validation.
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
        predictions: Write the best classes of every video to this JSON file, or what is found, as
            the evaluation of COCO, AVA (CSV) or ActivityNet reads it.
        json: Write the result here; `-` is standard output.
    """
    from stvit_video.detection.evaluate_command import Annotated, Asked, run_evaluate

    views = {"num_clips": num_clips, "num_crops": num_crops, "combine": combine}
    reading = {"num_workers": num_workers, "backend": backend, "max_pixels": max_pixels}
    asked = Asked(
        views=views | {"join_clips": join_clips},
        reading=reading,
        annotated=Annotated(media=media, actions=actions, subset=subset),
        window=window,
        stride=stride,
        batch_size=batch_size,
        device=device,
        output_dir=output_dir,
        predictions=predictions,
        json=json,
    )
    run_evaluate(checkpoint, videos, asked)
