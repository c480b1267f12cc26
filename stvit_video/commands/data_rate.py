"""`stvit-video data rate`: measure what keeps training waiting, and say what to do."""

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Count, Positive
from stvit_video.settings.data import DataConfig
from stvit_video.settings.paths import VideosPath

_DATA = DataConfig()


def data_rate(
    videos: VideosPath,
    *,
    model: str | None = None,
    data: DataConfig = _DATA,
    clips_per_video: Count = 1,
    batch_size: Count = 8,
    device: str = "auto",
    seconds: Positive = 4.0,
    json: ResultFile | None = None,
) -> None:
    """Measure how fast videos are decoded and loaded, name the bottleneck and the next step.

    At most 64 videos are read, again and again, so that they come from memory: a slow storage does
    not show.

    Args:
        videos: Manifest, or a folder of class folders.
        model: Model with its settings, as for `stvit-video flops`, whose training steps are timed,
            too; its clips are read. By default clips of 16 frames, stride 4, size 224.
        data: How training reads the clips.
        clips_per_video: Clips of each opened file, as `train.clips_per_video`.
        batch_size: Clips of a training step.
        device: auto, cpu, cuda or cuda:1.
        seconds: How long each part is measured.
        json: Write the result here; `-` is standard output.
    """
    from stvit_video.measure.feeding import feeding_table, measure_feeding
    from stvit_video.report.drawn_table import print_table
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.terminal import say

    report = measure_feeding(
        videos,
        word=model,
        data=data,
        clips_per_video=clips_per_video,
        batch_size=batch_size,
        device=device,
        seconds=seconds,
    )
    write_json(report, json)
    console = result_console(json)
    print_table(console, feeding_table(report))
    say(console, report.next_step)
