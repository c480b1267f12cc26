"""`stvit-video visualize`: draw which patches each token of a model gathers from a video."""

from typing import Literal

from stvit_video.files import OutputFolder
from stvit_video.settings.bounds import Count
from stvit_video.settings.data import Backend
from stvit_video.settings.durations import Duration, parse_duration
from stvit_video.settings.paths import CheckpointSource, VideoPath


def visualize(  # noqa: PLR0913 this is a command line
    video: VideoPath,
    *,
    checkpoint: CheckpointSource,
    output_dir: OutputFolder,
    window: Duration | None = None,
    stride: Duration | None = None,
    format: Literal["all", "page", "video", "gif", "sheet"] = "all",
    max_duration: Duration = "60s",
    top_k: Count = 5,
    backend: Backend | None = None,
    max_pixels: Count | None = None,
    device: str = "auto",
) -> None:
    """Draw which patches each token gathers, through time.

    Args:
        video: Video file.
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id; of a model
            with semantic tokens or a reducer.
        output_dir: Folder for clusters.mp4, clusters.gif, contact_sheet.png and clusters.html (one
            file, no network).
        window: Length of the stretches that a clip is taken from, such as 2s; by default what one
            clip covers.
        stride: From the start of a window to that of the next; by default the window.
        format: Which of the files to write.
        max_duration: How much of the video to draw, from its start.
        top_k: How many classes to name for a window.
        backend: What decodes: auto, decord, pyav or torchcodec; by default as in the training.
        max_pixels: Width times height of a picture above which a video is refused; by default as
            in the training.
        device: auto, cpu, cuda or cuda:1.
    """
    from rich.console import Console

    from stvit_video.datasets.windows import WindowLength
    from stvit_video.evaluation.predictor import Predictor
    from stvit_video.report.json_file import result_console
    from stvit_video.report.terminal import say
    from stvit_video.visualize.run import check_folder, visualize_video

    check_folder(output_dir)
    predictor = Predictor.load(checkpoint, backend=backend, max_pixels=max_pixels, device=device)
    with Console(stderr=True).status("drawing"):
        drawn = visualize_video(
            video,
            predictor,
            output_dir,
            length=WindowLength(
                None if window is None else parse_duration("window", window),
                None if stride is None else parse_duration("stride", stride),
            ),
            max_duration=parse_duration("max_duration", max_duration),
            top_k=top_k,
            format=format,
        )
    say(result_console(), drawn.about, *(f"wrote {path}" for path in drawn.files))
