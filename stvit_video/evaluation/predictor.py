"""Classify one video file.

Legend: V clips of a video, R views, T frames per clip, C colours, H W pixels, K classes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stvit_video.evaluation.evaluate import rank_labels
from stvit_video.evaluation.views import combine_views
from stvit_video.settings.model import Preprocessing, ViewConfig
from stvit_video.video.decoding.open import VideoInfo, open_video
from stvit_video.video.pixels.crops import build_transform, normalize_clip
from stvit_video.video.sampling.scheme import SamplingScheme

_AGGREGATE = {"mean_probability": "softmax-mean", "mean_logit": "logit-mean"}


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPrediction:
    """The best classes of a video, and how they were found."""

    video: str
    """Path of the file."""
    model: str
    duration_seconds: float
    fps: float
    num_frames: int
    """Frames of the file."""
    views: ViewConfig
    topk: tuple[dict[str, Any], ...]
    """Rank, index, label and score of the best classes, best first."""
    num_patch_tokens: int
    num_semantic_tokens: int | None
    """Tokens that a clip is clustered to; None for a dense model."""
    decode_milliseconds: float
    """Opening, decoding and cropping."""
    model_milliseconds: float
    """Normalising and forward passes of all views."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that tools of the field expect."""
        return {
            "video": self.video,
            "model": self.model,
            "duration_s": round(self.duration_seconds, 3),
            "fps": round(self.fps, 3),
            "frames": self.num_frames,
            "views": {
                "clips": self.views.num_clips,
                "crops": self.views.num_crops,
                "aggregate": _AGGREGATE[self.views.combine],
            },
            "topk": list(self.topk),
            "tokens": {"input": self.num_patch_tokens, "semantic": self.num_semantic_tokens},
            "timing_ms": {
                "decode": round(self.decode_milliseconds),
                "model": round(self.model_milliseconds),
            },
        }


@torch.inference_mode()
def predict_file(
    model: Any,
    path: Path,
    *,
    model_name: str,
    class_names: Sequence[str],
    sample: SamplingScheme,
    views: ViewConfig,
    backend: str = "auto",
    top_k: int = 5,
) -> VideoPrediction:
    """Classify the video at `path` from `views` of it; `class_names` may be empty: indices then.

    `model` has `preprocessing` and `token_counts()`. Raises as `open_video`.
    """
    preprocessing: Preprocessing = model.preprocessing
    start = time.perf_counter()
    info, clips = read_views(
        path, preprocessing=preprocessing, sample=sample, views=views, backend=backend
    )
    decoded = time.perf_counter()
    logits = _classify(model.eval(), clips, preprocessing)  # (R, K)
    scores = combine_views(
        logits,
        torch.zeros(len(logits), dtype=torch.int64),
        num_videos=1,
        num_views=views.num_views,
        combine=views.combine,
    )[0]  # (K,)
    end = time.perf_counter()
    best = scores.topk(min(top_k, len(scores)))
    counts = model.token_counts()
    return VideoPrediction(
        video=str(path),
        model=model_name,
        duration_seconds=info.duration_seconds,
        fps=info.fps,
        num_frames=info.num_frames,
        views=views,
        topk=tuple(rank_labels(best.values, best.indices, class_names)),
        num_patch_tokens=counts["input"],
        num_semantic_tokens=counts["semantic"],
        decode_milliseconds=1000 * (decoded - start),
        model_milliseconds=1000 * (end - decoded),
    )


def read_views(
    path: Path,
    *,
    preprocessing: Preprocessing,
    sample: SamplingScheme,
    views: ViewConfig,
    backend: str = "auto",
) -> tuple[VideoInfo, Tensor]:
    """Read all views of a video with one open: uint8 (R, C, T, H, W), clip by clip."""
    transform = build_transform(preprocessing, num_crops=views.num_crops, normalize=False)
    with open_video(path, backend=backend) as decoder:
        info = decoder.info
        indices = sample(info.num_frames, fps=info.fps)  # (V, T)
        wanted, place = indices.unique(return_inverse=True)
        frames = decoder.frames(wanted)  # (all frames of the clips, H, W, C)
    clips = [transform(frames[own], crop) for own in place for crop in range(views.num_crops)]
    return info, torch.stack(clips)


def _classify(model: nn.Module, clips: Tensor, preprocessing: Preprocessing) -> Tensor:
    """In batches of 16 on the model's device: uint8 (R, C, T, H, W) -> logits (R, K)."""
    device = next(model.parameters()).device
    return torch.cat(
        [
            model(normalize_clip(part.to(device), preprocessing)).float().cpu()
            for part in clips.split(16)
        ]
    )
