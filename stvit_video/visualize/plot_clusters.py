"""One clip as a model sees it, above what its tokens gather, as a figure.

Legend: C colours, T frames, S tokens and pixels of a side, (t, h, w) patch grid.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from stvit_video.datasets.from_settings import build_prediction_loader
from stvit_video.evaluation.frames import Frames, cut_videos
from stvit_video.evaluation.predictor import Predictor
from stvit_video.report.clusters import PictureFigure, cluster_figure
from stvit_video.visualize.reading import check_gathers, normalized

_MOST_STEPS = 8
"""Time steps that are drawn, spread over the clip."""
_SIDE = 1.6
"""Inches of a picture."""


def plot_clusters(
    predictor: Predictor, video: str | Path | Frames, *, fps: float | None = None
) -> PictureFigure:
    """Draw the centre clip of a video, and below it each patch in the colour of its token.

    `video` is a file, or frames in memory: uint8 (T, H, W, C), RGB, at `fps`. A patch belongs to
    the token that reads it most, the stronger the more. The figure is one of matplotlib, with
    `savefig`.

    Raises:
        ConfigError: the model is dense, the frames are of another kind, or sampling needs their
            rate.
        VideoDecodeError: the file cannot be read.
    """
    check_gathers(predictor.model)
    clip = _centre_clip(predictor, video, fps)
    with torch.inference_mode():
        weights = predictor.model.forward_assignments(normalized(predictor, clip))[0]
    frames = clip[0].permute(1, 2, 3, 0).numpy()  # (T, S, S, C)
    drawn = {"": weights.float().cpu().numpy()}
    return cluster_figure(frames, drawn, side=_SIDE, most_steps=_MOST_STEPS)


def _centre_clip(predictor: Predictor, video: str | Path | Frames, fps: float | None) -> Tensor:
    """Return one clip of the centre: uint8 (1, C, T, S, S)."""
    views = replace(predictor.views, num_clips=1, num_crops=1, join_clips=False)
    preprocessing, data = predictor.model.preprocessing, predictor.data
    if not isinstance(video, str | Path):
        (batch,) = cut_videos(
            [video], preprocessing, data=data, views=views, fps=fps or 0.0, num_videos=1
        )
        return batch.clip
    loader = build_prediction_loader(
        [video], preprocessing, data=replace(data, num_workers=0), views=views, batch_size=1
    )
    (batch,) = loader
    for failed in batch.failures:
        raise failed.error
    return batch.clip
