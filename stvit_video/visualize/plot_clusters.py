"""One clip as a model sees it, above what its tokens gather, as a figure.

Legend: C colours, T frames, S tokens and pixels of a side, (t, h, w) patch grid.
"""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.datasets.from_settings import build_prediction_loader
from stvit_video.evaluation.frames import Frames, cut_videos
from stvit_video.evaluation.predictor import Predictor
from stvit_video.report.clusters import colour_patches
from stvit_video.visualize.reading import check_gathers, normalized

_MOST_STEPS = 8
"""Time steps that are drawn, spread over the clip."""
_SIDE = 1.5
"""Inches of a picture."""


class ClusterFigure(Figure):
    """A figure that a notebook shows, whether pyplot is there or not."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()


def plot_clusters(
    predictor: Predictor, video: str | Path | Frames, *, fps: float | None = None
) -> ClusterFigure:
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
    return _draw(frames, weights.float().cpu().numpy())


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


def _draw(frames: NDArray[np.uint8], weights: NDArray[np.float32]) -> ClusterFigure:
    """Draw frames (T, S, S, C) above those coloured by weights (S, t, h, w)."""
    num_steps = weights.shape[1]
    every = len(frames) // num_steps
    coloured = colour_patches(frames[::every][:num_steps], weights)  # (t, S, S, C)
    shown = np.linspace(0, num_steps - 1, min(num_steps, _MOST_STEPS)).round().astype(int)
    figure = ClusterFigure(
        figsize=(_SIDE * len(shown), 2 * _SIDE + 0.3), dpi=100, layout="constrained"
    )
    axes = figure.subplots(2, len(shown), squeeze=False)
    for step, (above, below) in zip(shown, axes.T, strict=True):
        above.imshow(frames[step * every])
        above.set_title(f"frame {step * every + 1}", fontsize=9)
        below.imshow(coloured[step], interpolation="nearest")
    for axis in axes.flat:
        axis.set_axis_off()
    return figure
