"""What was found out about one video.

Legend: K classes, V views of the video, F features, N tokens on the grid (t, h, w), D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stvit_video.evaluation.middle_frame import middle_frame
from stvit_video.report.counts import clips_and_crops, counted
from stvit_video.report.results_html import results_html
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.views import ViewConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPrediction:
    """The best classes of a video, and how they were found."""

    video: str
    """Path of the file; `frames` for frames in memory."""
    model: str
    duration_seconds: float
    """0 for frames in memory without a rate."""
    fps: float
    """Frames per second; 0 for frames in memory without a rate."""
    num_frames: int
    """Frames of the video."""
    views: ViewConfig
    topk: tuple[dict[str, Any], ...]
    """Rank, index, label and score of the best classes, best first."""
    num_patch_tokens: int
    num_semantic_tokens: int | None
    """Tokens that a clip is clustered to; None for a dense model."""
    decode_milliseconds: float
    """Opening, decoding and cropping, in the process that read the file."""
    model_milliseconds: float
    """Normalising and forward passes of all views; of a batch of videos, an equal share."""
    features: Tensor | None = None
    """float32, on the CPU, a row for each view (crop `v % num_crops` of clip `v // num_crops`):
    `pooled` (V, F), `tokens` (V, N, D), `grid` (V, D, t, h, w); None where none were asked for."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that tools of the field expect."""
        return {
            "video": self.video,
            "model": self.model,
            "duration_s": round(self.duration_seconds, 3),
            "fps": round(self.fps, 3),
            "frames": self.num_frames,
            "views": views_as_json(self.views),
            "topk": list(self.topk),
            "tokens": {"input": self.num_patch_tokens, "semantic": self.num_semantic_tokens},
            "timing_ms": {
                "decode": round(self.decode_milliseconds),
                "model": round(self.model_milliseconds),
            },
        }

    def _repr_html_(self) -> str:
        picture = middle_frame(self.video, self.num_frames)
        return results_html([prediction_table(self)], picture=picture)


def views_as_json(views: ViewConfig) -> dict[str, Any]:
    """Return what the results of a file say of its views."""
    names = ("num_clips", "num_crops", "combine")
    return {name: getattr(views, name) for name in names}


def prediction_table(prediction: VideoPrediction) -> Table:
    """Make the table of the best classes of a video."""
    views = prediction.views
    return make_table(
        f"{prediction.video}: {counted(prediction.num_frames, 'frame')},"
        f" {prediction.duration_seconds:.1f} s at {prediction.fps:.4g} frames per second",
        ["rank", "label", Column(title="score", format=".3f")],
        [[entry["rank"], entry["label"], entry["score"]] for entry in prediction.topk],
        note=f"{prediction.model}, {clips_and_crops(views.num_clips, views.num_crops)}; decoding"
        f" {prediction.decode_milliseconds:.0f} ms, model {prediction.model_milliseconds:.0f} ms",
    )


def rank_labels(
    values: Tensor, indices: Tensor, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Name the best classes of a video, (k,) and (k,), best first; without names by their index."""
    return [
        {
            "rank": rank,
            "index": int(index),
            "label": class_names[int(index)] if class_names else str(int(index)),
            "score": round(float(value), 6),
        }
        for rank, (value, index) in enumerate(zip(values, indices, strict=True), start=1)
    ]
