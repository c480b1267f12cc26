"""`stvit-video stream`: classify a camera or an address while it runs."""

from stvit_video.files import ResultFile
from stvit_video.settings.bounds import Count
from stvit_video.settings.durations import Duration, parse_duration
from stvit_video.settings.paths import CheckpointSource
from stvit_video.settings.timing import DtypeName
from stvit_video.settings.views import NumCrops


def stream(  # noqa: PLR0913 this is a command line
    source: str,
    *,
    checkpoint: CheckpointSource,
    window: Duration = "2s",
    stride: Duration = "1s",
    duration: Duration | None = None,
    format: str | None = None,
    num_clips: Count | None = None,
    num_crops: NumCrops | None = None,
    top_k: Count = 5,
    device: str = "auto",
    dtype: DtypeName = "float32",
    jsonl: ResultFile | None = None,
) -> None:
    """Classify the last seconds of a stream again and again: a line each, with its latency.

    Where the model is slower than windows come, the oldest are left out and counted.

    Args:
        source: Address (http, https, rtsp, rtmp, srt, tcp, udp, rtp), device such as /dev/video0,
            or a file, which is read at its own pace.
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        window: How many of the last seconds are read.
        stride: From one answer to the next.
        duration: End after so much of the stream; by default with it, or ctrl-c.
        format: What FFmpeg calls the input, such as v4l2, avfoundation or mpegts; by default found
            out.
        num_clips: Clips of a window; by default as in the settings of the training.
        num_crops: Crops of each clip, 1 or 3; by default as in the settings of the training.
        top_k: How many classes to name in the file.
        device: auto, cpu, cuda or cuda:1.
        dtype: Of weights and clips.
        jsonl: Write a line of JSON for each answer, as it comes; `-` is standard output.
    """
    from stvit_video.evaluation.live_lines import LivePlan, tell_live
    from stvit_video.evaluation.predictor import Predictor

    plan = LivePlan(
        window=parse_duration("window", window),
        stride=parse_duration("stride", stride),
        duration=None if duration is None else parse_duration("duration", duration),
        top_k=top_k,
    )
    predictor = Predictor.load(
        checkpoint, num_clips=num_clips, num_crops=num_crops, device=device, dtype=dtype
    )
    tell_live(predictor, source, plan, format=format, jsonl=jsonl)
