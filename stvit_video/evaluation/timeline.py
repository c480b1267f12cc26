"""What a video shows, window by window: scores over time, and the stretches of one class.

Legend: W windows, K classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stvit_video.evaluation.middle_frame import middle_frame
from stvit_video.evaluation.prediction import rank_labels, views_as_json
from stvit_video.report.counts import counted
from stvit_video.report.results_html import results_html
from stvit_video.report.subtitles import Cue, clock
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.views import ViewConfig
from stvit_video.video.sampling.time_windows import TimeWindow


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowPrediction:
    """The best classes of a stretch of a video, in seconds from its first frame."""

    start_seconds: float
    end_seconds: float
    topk: tuple[dict[str, Any], ...]
    """Rank, index, label and score of the best classes, best first."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time of one best class."""

    start_seconds: float
    end_seconds: float
    index: int
    """Of the class."""
    label: str
    score: float
    """Mean of that of its windows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """The windows of a video, in order, and how they were classified."""

    video: str
    """Path of the file; `frames` for frames in memory."""
    model: str
    duration_seconds: float
    fps: float
    num_frames: int
    """Frames of the video."""
    views: ViewConfig
    """Of each window."""
    window_seconds: float
    stride_seconds: float
    windows: tuple[WindowPrediction, ...]
    scores: Tensor
    """float32 (W, K), on the CPU."""
    num_patch_tokens: int
    num_semantic_tokens: int | None
    """Tokens that a clip is clustered to; None for a dense model."""
    decode_milliseconds: float
    """Opening, decoding and cropping, added up over the processes that read."""
    model_milliseconds: float
    """Normalising and forward passes of all windows."""

    def segments(self) -> list[Segment]:
        """Join neighbouring windows of the same best class.

        See `own_times`; time between windows that leave some out is in no segment.
        """
        joined: list[tuple[float, float, dict[str, Any], list[float]]] = []
        for (start, end), window in zip(self.own_times(), self.windows, strict=True):
            best = window.topk[0]
            if joined and joined[-1][2]["index"] == best["index"] and joined[-1][1] >= start:
                begun, _, entry, scores = joined.pop()
                joined.append((begun, end, entry, [*scores, best["score"]]))
            else:
                joined.append((start, end, best, [best["score"]]))
        return [
            Segment(start, end, best["index"], best["label"], sum(scores) / len(scores))
            for start, end, best, scores in joined
        ]

    def own_times(self) -> Iterator[tuple[float, float]]:
        """Yield the stretch in which each window counts, in seconds."""
        return own_times(self.windows)

    def cues(self) -> list[Cue]:
        """Return the segments as subtitles say them."""
        return [
            (part.start_seconds, part.end_seconds, f"{part.label} ({part.score:.2f})")
            for part in self.segments()
        ]

    def as_json(self) -> dict[str, Any]:
        """Return what `stvit-video predict --json` writes."""
        return {
            "video": self.video,
            "model": self.model,
            "duration_s": round(self.duration_seconds, 3),
            "fps": round(self.fps, 3),
            "frames": self.num_frames,
            "views": views_as_json(self.views),
            "window_s": round(self.window_seconds, 3),
            "stride_s": round(self.stride_seconds, 3),
            "windows": [
                {
                    "start_s": round(window.start_seconds, 3),
                    "end_s": round(window.end_seconds, 3),
                    "topk": list(window.topk),
                }
                for window in self.windows
            ],
            "segments": [
                {
                    "start_s": round(segment.start_seconds, 3),
                    "end_s": round(segment.end_seconds, 3),
                    "index": segment.index,
                    "label": segment.label,
                    "score": round(segment.score, 6),
                }
                for segment in self.segments()
            ],
            "tokens": {"input": self.num_patch_tokens, "semantic": self.num_semantic_tokens},
            "timing_ms": {
                "decode": round(self.decode_milliseconds),
                "model": round(self.model_milliseconds),
            },
        }

    def _repr_html_(self) -> str:
        picture = middle_frame(self.video, self.num_frames)
        return results_html([timeline_table(self)], picture=picture)


def own_times(windows: Sequence[WindowPrediction]) -> Iterator[tuple[float, float]]:
    """Yield the seconds in which each window counts.

    Where windows overlap, up to half way between its middle and that of the next.
    """
    middles = [(w.start_seconds + w.end_seconds) / 2 for w in windows]
    for number, window in enumerate(windows):
        start, end = window.start_seconds, window.end_seconds
        if number:
            start = max(start, (middles[number - 1] + middles[number]) / 2)
        if number + 1 < len(middles):
            end = min(end, (middles[number] + middles[number + 1]) / 2)
        yield start, end


def describe_windows(
    windows: Sequence[TimeWindow], scores: Tensor, labels: Sequence[str], *, top_k: int
) -> tuple[WindowPrediction, ...]:
    """Name the best classes of windows by their scores (W, K)."""
    best = scores.topk(min(top_k, scores.shape[1]))
    return tuple(
        WindowPrediction(
            start_seconds=start,
            end_seconds=end,
            topk=tuple(rank_labels(values, indices, labels)),
        )
        for (start, end), values, indices in zip(windows, *best, strict=True)
    )


def timeline_table(timeline: Timeline) -> Table:
    """Make the table of the segments of a video."""
    segments = timeline.segments()
    return make_table(
        f"{timeline.video}: {counted(timeline.num_frames, 'frame')},"
        f" {timeline.duration_seconds:.1f} s at {timeline.fps:.4g} frames per second",
        ["from", "to", "label", Column(title="score", format=".3f")],
        [
            [clock(part.start_seconds), clock(part.end_seconds), part.label, part.score]
            for part in segments
        ],
        note=f"{timeline.model}, {counted(len(timeline.windows), 'window')} of"
        f" {timeline.window_seconds:.4g} s, one every {timeline.stride_seconds:.4g} s; decoding"
        f" {timeline.decode_milliseconds:.0f} ms, model {timeline.model_milliseconds:.0f} ms",
    )
