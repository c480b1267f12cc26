"""Read a video as a model does, window after window: which token owns each patch, and what the
model says.

Legend: W windows, T frames of a clip, K time steps in all, N frames of the video, C colours, (t, h,
w) patch grid, S tokens, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.datasets.from_settings import evaluation_transform, sampling_scheme
from stvit_video.datasets.windows import WindowLength, lay_windows
from stvit_video.errors import ConfigError
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.timeline import WindowPrediction, describe_windows
from stvit_video.evaluation.views import combine_views
from stvit_video.models.network.reduction import RunLengthTransformer
from stvit_video.models.network.stages import GatheringStage
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.token_colours import choose_colours, find_owners
from stvit_video.video.decoding.decoder import Decoder
from stvit_video.video.pixels.crops import normalize_clip
from stvit_video.video.pixels.transform import WindowTransform
from stvit_video.video.sampling.time_windows import TimeWindow
from stvit_video.visualize.lens import Lens, look_through
from stvit_video.visualize.tubes import link_tubes

MOST_WINDOWS, MOST_TUBES = 2000, 65_535
_AT_ONCE = 16
"""Whole frames in memory."""


@dataclass(frozen=True, kw_only=True)
class ReadVideo:
    """What a model made of the part of a video that is drawn."""

    windows: tuple[WindowPrediction, ...]
    times: NDArray[np.float64]
    """Seconds of each frame that is drawn: (N,)."""
    window: NDArray[np.int64]
    """Whose window a frame shows: (N,), see `share_out`."""
    step: NDArray[np.int64]
    """Its time step among the K: (N,)."""
    tubes: NDArray[np.int32]
    """Tube of each patch, -1 where no token reads it: (K, h, w)."""
    strength: NDArray[np.float32]
    """How much its token reads it, in 0..1: (K, h, w)."""
    colours: NDArray[np.uint8]
    """Of each tube, a number of `PALETTE`: (tubes,)."""
    lens: Lens
    num_tokens: int
    """Of a window, S."""


def gathers(model: VideoModel) -> bool:
    """Whether tokens of a model stand for several patches."""
    is_reduced = any(isinstance(stage, GatheringStage) for stage in model.stages)
    return is_reduced or isinstance(model, RunLengthTransformer)


def check_gathers(model: VideoModel) -> None:
    """Refuse a model all of whose patches stay tokens of their own.

    Raises:
        ConfigError: saying how to make one that clusters.
    """
    if gathers(model):
        return
    raise ConfigError(
        f"{model.name} is dense: no token gathers patches; train with model.semantic or"
        " model.reduction, or `stvit-video convert` the weights with --semantic"
    )


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """The windows of the part of a video that is read, and the clip of each."""

    windows: tuple[TimeWindow, ...]
    clips: NDArray[np.int64]
    """Frames of each clip: (W, T)."""
    times: NDArray[np.float64]
    """Seconds of each frame of that part: (N,)."""
    transform: WindowTransform

    def read_clip(self, decoder: Decoder, number: int) -> Tensor:
        """Read a clip, a few frames at a time: uint8 (1, C, T, S, S)."""
        unique, inverse = np.unique(self.clips[number], return_inverse=True)
        parts = decoder.parts(unique.tolist(), _AT_ONCE)
        cut = torch.cat([self.transform(cast(Tensor, part), 0) for part in parts], dim=1)
        return cut[None, :, torch.from_numpy(inverse)]


def plan_clips(
    decoder: Decoder, predictor: Predictor, *, length: WindowLength, max_duration: float
) -> ClipPlan:
    """Lay windows over the first `max_duration` seconds of a video, one clip of the centre each.

    Raises:
        ConfigError: the windows are too many.
    """
    info, preprocessing, views = decoder.info, predictor.model.preprocessing, predictor.views
    sample = sampling_scheme(preprocessing, predictor.data, num_clips=1)
    duration = min(info.duration_seconds, max_duration)
    usual = sample.span_seconds(info.fps) or duration  # of clips of any length: all that is drawn
    window = length.window or usual
    stride = length.stride or window
    if duration / stride > MOST_WINDOWS:
        raise ConfigError(
            f"stride ({stride:g} s) makes {duration / stride:.0f} windows; at most {MOST_WINDOWS}"
            " are drawn: take a longer stride or a smaller max_duration"
        )
    times = decoder.times()
    times = times[times < duration]
    plan = lay_windows(times, duration, sample, WindowLength(window, stride), fps=info.fps)
    transform = evaluation_transform(preprocessing, replace(views, num_crops=1), None)
    return ClipPlan(
        windows=plan.windows,
        clips=plan.frames[:, 0].numpy(),
        times=times,
        transform=cast(WindowTransform, transform),
    )


def read_video(
    decoder: Decoder,
    predictor: Predictor,
    *,
    length: WindowLength,
    max_duration: float,
    top_k: int,
) -> ReadVideo:
    """Read the first `max_duration` seconds of a video, by one clip of the centre for each window.

    Raises:
        ConfigError: the windows or the tokens are too many.
        VideoDecodeError: the video cannot be read.
    """
    model, info = predictor.model, decoder.info
    plan = plan_clips(decoder, predictor, length=length, max_duration=max_duration)
    answers, owners, strengths = [], [], []
    for number in range(len(plan.windows)):
        pixels = normalized(predictor, plan.read_clip(decoder, number))
        with torch.inference_mode():
            answers.append(classify_clip(predictor, pixels))
            assignments = model.forward_assignments(pixels)[0].float().cpu().numpy()
        owner, strength = find_owners(assignments)
        owners.append(owner)
        strengths.append(strength)
    num_steps, *grid = owners[0].shape
    middles = plan.times + 0.5 / info.fps if info.fps else plan.times
    window_of, step_of = share_out(middles, plan.windows, plan.clips, num_steps=num_steps)
    used, step = np.unique(window_of * num_steps + step_of, return_inverse=True)
    tubes = link_tubes([(k // num_steps, owners[k // num_steps][k % num_steps]) for k in used])
    num_tubes = max(int(tubes.max()) + 1, 1)
    if num_tubes > MOST_TUBES:
        raise ConfigError(
            f"{model.name} makes {num_tubes} tokens of this video; at most {MOST_TUBES} are drawn:"
            " take a smaller max_duration"
        )
    choose = plan.transform.choose(info.height, info.width, 0)
    return ReadVideo(
        windows=describe_windows(plan.windows, torch.stack(answers), model.labels, top_k=top_k),
        times=plan.times,
        window=window_of,
        step=step,
        tubes=tubes,
        strength=np.concatenate(strengths)[used],
        colours=choose_colours(tubes, num_tubes),
        lens=look_through(model, info, choose, (grid[0], grid[1])),
        num_tokens=len(assignments),
    )


def normalized(predictor: Predictor, clip: Tensor) -> Tensor:
    """Make the input of a model of a clip: uint8 (1, C, T, S, S) -> the same, on its device."""
    pixels = normalize_clip(clip.to(predictor.device), predictor.model.preprocessing)
    return pixels.to(predictor.dtype)


def classify_clip(predictor: Predictor, pixels: Tensor) -> Tensor:
    """Classify a normalised clip: (1, C, T, S, S) -> scores (K,) on the CPU."""
    logits = predictor.model(pixels).float()
    multi_label = predictor.model.multi_label
    return combine_views(logits, predictor.views.combine, multi_label=multi_label).cpu()


def share_out(
    middles: NDArray[np.float64],
    windows: Sequence[TimeWindow],
    clips: NDArray[np.int64],
    *,
    num_steps: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Say which window and which of its t steps shows each frame: middles (N,) -> (N,), (N,).

    The window whose middle is nearest to that of the frame, in seconds, and the step that holds the
    frame of its clip (W, T) that is nearest.
    """
    own = np.array([(window.start + window.end) / 2 for window in windows])
    window_of = np.searchsorted((own[1:] + own[:-1]) / 2, middles)
    read = clips[window_of]  # (N, T)
    nearest = np.abs(read - np.arange(len(middles))[:, None]).argmin(axis=1)
    tubelet = -(-clips.shape[1] // num_steps)  # the last may be filled up
    return window_of, nearest // tubelet
