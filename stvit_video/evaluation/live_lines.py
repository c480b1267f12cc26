"""What a terminal shows of a stream: a line for each answer, and a last one about all of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stvit_video.evaluation.live import LivePrediction, predict_live
from stvit_video.evaluation.predictor import Predictor
from stvit_video.report.counts import counted
from stvit_video.report.json_file import result_console
from stvit_video.report.records import writing_records
from stvit_video.report.subtitles import clock
from stvit_video.report.terminal import say
from stvit_video.video.live import LiveVideo


@dataclass(frozen=True, kw_only=True, slots=True)
class LivePlan:
    """What is asked of a stream, in seconds of it."""

    window: float = 2.0
    stride: float = 1.0
    duration: float | None = None
    """None for all of it."""
    top_k: int = 5


def tell_live(
    predictor: Predictor,
    source: str,
    plan: LivePlan,
    *,
    format: str | None = None,
    jsonl: Path | None = None,
) -> None:
    """Classify a stream until it ends, or the plan, or ctrl-c comes.

    Raises:
        ConfigError, VideoDecodeError: see `LiveVideo`.
        WriteError: the disk refuses the file.
    """
    console = result_console(jsonl)
    live = LiveVideo(
        source,
        keep_seconds=plan.window + 2 * plan.stride,
        format=format,
        max_pixels=predictor.data.max_pixels,
    )
    latency: list[float] = []  # milliseconds
    num_dropped = 0
    with live, writing_records({"jsonl": jsonl}) as write:
        try:
            for answer in predict_live(
                predictor,
                live,
                window=plan.window,
                stride=plan.stride,
                top_k=plan.top_k,
                seconds=plan.duration,
            ):
                latency.append(answer.latency_milliseconds)
                num_dropped = answer.num_dropped
                write(answer.as_json())
                say(console, _line(answer))
        except KeyboardInterrupt:
            say(console, "stopped")
    say(console, _summary(live, latency, num_dropped))


def _line(answer: LivePrediction) -> str:
    best = answer.topk[0]
    dropped = f", {counted(answer.num_dropped, 'window')} dropped" if answer.num_dropped else ""
    return (
        f"{clock(answer.start_seconds)[:-4]}-{clock(answer.end_seconds)[:-4]}  {best['label']}"
        f" ({best['score']:.2f}), {answer.latency_milliseconds:.0f} ms{dropped}"
    )


def _summary(live: LiveVideo, latency: list[float], num_dropped: int) -> str:
    damaged = f", {counted(live.num_damaged, 'damaged packet')}" if live.num_damaged else ""
    pictures = f"{counted(live.num_pictures, 'picture')}{damaged}"
    if not latency:
        return f"{live.source}: no window came to its end; {pictures}"
    middle, most = np.percentile(latency, [50, 95])
    return (
        f"{live.source}: {counted(len(latency), 'window')}, {num_dropped} dropped;"
        f" {pictures}; latency {middle:.0f} ms in the middle,"
        f" {most:.0f} ms for 95 %"
    )
