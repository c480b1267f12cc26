"""`stvit-video predict`: classify a video, or those of a folder, with a trained model."""

from typing import Any

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Count, Whole
from stvit_video.settings.data import Backend
from stvit_video.settings.paths import CheckpointSource, VideoPath
from stvit_video.settings.views import Combine, NumCrops


def predict(  # noqa: PLR0913 this is a command line
    video: VideoPath,
    *,
    checkpoint: CheckpointSource,
    num_clips: Count | None = None,
    num_crops: NumCrops | None = None,
    join_clips: bool | None = None,
    combine: Combine | None = None,
    top_k: Count = 5,
    batch_size: Count = 16,
    num_workers: Whole = 2,
    backend: Backend | None = None,
    max_pixels: Count | None = None,
    device: str = "auto",
    json: ResultFile | None = None,
) -> None:
    """Classify a video: a table of its best classes; of a folder, the best of each video.

    Args:
        video: Video file (docs/decoding.md lists the kinds), or a folder, with videos at any depth.
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        num_clips: Clips of the video; by default as in the settings of the training.
        num_crops: Crops of each clip, 1 or 3; by default as in the settings of the training.
        join_clips: Let an attentive pooler read all clips of a crop at once, as V-JEPA 2's probes
            do; by default as in the settings of the training.
        combine: mean_probability or mean_logit; by default as in the settings of the training.
        top_k: How many classes to name; for a folder in the JSON alone.
        batch_size: Views per forward pass.
        num_workers: Processes that decode, for a folder.
        backend: What decodes: auto, decord, pyav or torchcodec; by default as in the training.
        max_pixels: Width times height of a picture above which a video is refused; by default as
            in the training.
        device: auto, cpu, cuda or cuda:1.
        json: Write the result here; `-` is standard output.
    """
    from rich.console import Console

    from stvit_video.evaluation.folder import folder_table, predict_folder
    from stvit_video.evaluation.prediction import prediction_table
    from stvit_video.evaluation.predictor import Predictor
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.tables import print_table
    from stvit_video.report.terminal import say

    views: Any = {"num_clips": num_clips, "num_crops": num_crops, "combine": combine}
    reading: Any = {"backend": backend, "max_pixels": max_pixels}
    predictor = Predictor.load(checkpoint, **views, join_clips=join_clips, **reading, device=device)
    if not video.is_dir():
        prediction = predictor.predict(video, top_k=top_k)
        write_json(prediction.as_json(), json)
        print_table(result_console(json), prediction_table(prediction))
        return
    errors = Console(stderr=True, highlight=False)
    found = predict_folder(
        predictor,
        video,
        top_k=top_k,
        batch_size=batch_size,
        num_workers=num_workers,
        progress=(errors, "classifying"),
    )
    write_json(found.as_json(), json)
    say(errors, *(f"does not decode: {error}" for error in found.failed))
    print_table(result_console(json), folder_table(str(video), found))
