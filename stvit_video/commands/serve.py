"""`stvit-video serve`: a page on this machine that looks at videos."""

from typing import Annotated

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import Count, Positive, Range, Whole
from stvit_video.settings.durations import Duration, parse_duration
from stvit_video.settings.paths import CheckpointSource

Port = Annotated[int, Range(least=0, most=65_535)]
Workers = Annotated[int, Range(least=1, most=64)]
_MEBIBYTE = 1 << 20


def serve(  # noqa: PLR0913 this is a command line
    *,
    checkpoint: CheckpointSource,
    compare: CheckpointSource | None = None,
    host: str = "127.0.0.1",
    port: Port = 8000,
    window: Duration | None = None,
    stride: Duration | None = None,
    top_k: Count = 5,
    max_duration: Duration = "60s",
    max_size: Count = 200,
    max_time: Duration = "2m",
    max_pixels: Count = 8_912_896,
    max_memory: Positive = 4.0,
    workers: Workers = 1,
    queue: Whole = 4,
    device: str = "auto",
) -> None:
    """Serve a page that shows what models see in a video: drop one, watch timeline and clusters.

    Args:
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        compare: Another one beside it, such as the dense model.
        host: Address to listen at; by default only this machine reaches it.
        port: Port to listen at; 0 takes any that is free.
        window: Length of the stretches that are classified, such as 2s; by default what one clip of
            the model covers.
        stride: From the start of a window to that of the next; by default the window.
        top_k: How many classes to name for a window.
        max_duration: How much of a video is looked at, from its start.
        max_size: Mebibytes of a video above which it is refused.
        max_time: After which looking at a video is stopped.
        max_pixels: Width times height of a picture above which a video is refused.
        max_memory: Gibibytes that a worker may take beyond its models; on Linux, on a CPU.
        workers: Processes that look at videos, each with the models in memory.
        queue: Videos that may wait for a worker; more are sent away.
        device: auto, cpu, cuda or cuda:1.
    """
    from importlib.util import find_spec

    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise ConfigError("serve needs starlette and uvicorn; run pip install 'stvit-video[serve]'")
    from stvit_video.report.json_file import result_console
    from stvit_video.report.terminal import say
    from stvit_video.serving.app import Limits
    from stvit_video.serving.messages import AnalysisSettings
    from stvit_video.serving.run import serve

    settings = AnalysisSettings(
        checkpoints=(checkpoint,) if compare is None else (checkpoint, compare),
        window=None if window is None else parse_duration("window", window),
        stride=None if stride is None else parse_duration("stride", stride),
        max_duration=parse_duration("max_duration", max_duration),
        top_k=top_k,
        max_pixels=max_pixels,
        max_memory=int(max_memory * 1024 * _MEBIBYTE),
        device=device,
    )
    console = result_console()
    serve(
        settings,
        Limits(max_bytes=max_size * _MEBIBYTE, queue=queue),
        host=host,
        port=port,
        num_workers=workers,
        seconds=parse_duration("max_time", max_time),
        tell=lambda line: say(console, line),
    )
