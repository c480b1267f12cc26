"""`stvit-video predict`: classify a video with a trained model."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stvit_video.evaluation.predictor import VideoPrediction


def predict(  # noqa: PLR0913 this is a command line
    video: Path,
    *,
    checkpoint: Path,
    num_clips: int | None = None,
    num_crops: int | None = None,
    combine: str | None = None,
    top_k: int = 5,
    backend: str = "auto",
    device: str = "auto",
    json: Path | None = None,
) -> None:
    """Classify a video: a table of its best classes.

    Args:
        video: File of any format that FFmpeg reads.
        checkpoint: Run folder of `train`, or a folder that `convert` wrote.
        num_clips: Clips of the video; by default as in the settings of the training.
        num_crops: Crops of each clip, 1 or 3; by default as in the settings of the training.
        combine: mean_probability or mean_logit; by default as in the settings of the training.
        top_k: How many classes to name.
        backend: What decodes: auto, decord, pyav or torchcodec.
        device: auto, cpu, cuda or cuda:1.
        json: Write the result here; `-` is standard output.
    """
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.tables import Column, make_table, print_table

    prediction = predict_video(
        video,
        checkpoint=checkpoint,
        num_clips=num_clips,
        num_crops=num_crops,
        combine=combine,
        top_k=top_k,
        backend=backend,
        device=device,
    )
    table = make_table(
        f"{prediction.video}: {prediction.num_frames} frames,"
        f" {prediction.duration_seconds:.1f} s at {prediction.fps:.4g} frames per second",
        ["rank", "label", Column(title="score", format=".3f")],
        [[entry["rank"], entry["label"], entry["score"]] for entry in prediction.topk],
        note=f"{prediction.model}, {prediction.views.num_clips} clips x"
        f" {prediction.views.num_crops} crops; decoding {prediction.decode_milliseconds:.0f} ms,"
        f" model {prediction.model_milliseconds:.0f} ms",
    )
    print_table(result_console(json), table)
    write_json(prediction.as_json(), json)


def predict_video(
    video: Path | str,
    *,
    checkpoint: Path | str,
    num_clips: int | None = None,
    num_crops: int | None = None,
    combine: str | None = None,
    top_k: int = 5,
    backend: str = "auto",
    device: str = "auto",
) -> "VideoPrediction":
    """Classify one video file with the model of a run folder; views as `predict` explains them.

    Raises:
        StvitVideoError: the video cannot be read, or the checkpoint cannot be used.
    """
    from stvit_video.commands.assembly import (
        choose_device,
        read_checkpoint,
        sampling_scheme,
        settings_of,
    )
    from stvit_video.evaluation.predictor import predict_file

    checkpoint = Path(checkpoint)
    model = read_checkpoint(checkpoint).to(choose_device(device))
    data, views = settings_of(
        checkpoint,
        views={"num_clips": num_clips, "num_crops": num_crops, "combine": combine},
        data={"backend": backend},
    )
    return predict_file(
        model,
        Path(video),
        model_name=model.recipe.name,
        class_names=model.labels,
        sample=sampling_scheme(model.preprocessing, data, num_clips=views.num_clips),
        views=views,
        backend=data.backend,
        top_k=top_k,
    )
