"""`stvit-video predict`: classify a video with a trained model."""

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Count
from stvit_video.settings.data import Backend
from stvit_video.settings.paths import CheckpointSource, VideoPath
from stvit_video.settings.views import Combine, NumCrops


def predict(  # noqa: PLR0913 this is a command line
    video: VideoPath,
    *,
    checkpoint: CheckpointSource,
    num_clips: Count | None = None,
    num_crops: NumCrops | None = None,
    combine: Combine | None = None,
    top_k: Count = 5,
    backend: Backend | None = None,
    device: str = "auto",
    json: ResultFile | None = None,
) -> None:
    """Classify a video: a table of its best classes.

    Args:
        video: File of any format that FFmpeg reads.
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        num_clips: Clips of the video; by default as in the settings of the training.
        num_crops: Crops of each clip, 1 or 3; by default as in the settings of the training.
        combine: mean_probability or mean_logit; by default as in the settings of the training.
        top_k: How many classes to name.
        backend: What decodes: auto, decord, pyav or torchcodec; by default as in the training.
        device: auto, cpu, cuda or cuda:1.
        json: Write the result here; `-` is standard output.
    """
    from stvit_video.evaluation.predictor import predict_video
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
