"""Classify a stream while it runs: its last seconds, again and again.

Windows are asked for by the clock of the stream. Where the model is slower than they come, the
oldest are left out and counted; so an answer is never about a time that is long past.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stvit_video.evaluation.predictor import Predictor
from stvit_video.video.live import LiveVideo


@dataclass(frozen=True, kw_only=True, slots=True)
class LivePrediction:
    """The best classes of the last seconds of a stream."""

    start_seconds: float
    """Since the first picture, as the stream counts."""
    end_seconds: float
    topk: tuple[dict[str, Any], ...]
    num_pictures: int
    """Of the window."""
    latency_milliseconds: float
    """From the arrival of its last picture to the answer."""
    num_dropped: int
    """Windows left out so far, because the model was busy."""

    def as_json(self) -> dict[str, Any]:
        """Return its record."""
        return {
            "start_s": round(self.start_seconds, 3),
            "end_s": round(self.end_seconds, 3),
            "topk": list(self.topk),
            "pictures": self.num_pictures,
            "latency_ms": round(self.latency_milliseconds, 1),
            "dropped": self.num_dropped,
        }


def predict_live(
    predictor: Predictor,
    live: LiveVideo,
    *,
    window: float,
    stride: float,
    top_k: int = 5,
    seconds: float | None = None,
) -> Iterator[LivePrediction]:
    """Classify the last `window` seconds every `stride` seconds, until the end or for `seconds`."""
    number = num_dropped = 0
    while seconds is None or number * stride + window <= seconds:
        last = live.wait_for(number * stride + window)
        if last is None:
            return
        newest = max(int((last - window) // stride), number)
        num_dropped += newest - number
        number = newest
        start = number * stride
        frames = live.stretch(start, start + window)
        number += 1
        if len(frames) < 2:  # a stream that jumps in time
            num_dropped += 1
            continue
        (found,) = predictor.predict_frames([frames], fps=frames.fps, top_k=top_k)
        yield LivePrediction(
            start_seconds=start,
            end_seconds=start + window,
            topk=found.topk,
            num_pictures=len(frames),
            latency_milliseconds=1000 * (time.monotonic() - frames.pictures[-1].arrived),
            num_dropped=num_dropped,
        )
