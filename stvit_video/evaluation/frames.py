"""Videos in memory: from their frames to the clips that a file would give.

Legend: T frames, C colours, H W pixels.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.datasets.batches import Batch
from stvit_video.datasets.clips import VideoFacts
from stvit_video.datasets.from_settings import evaluation_transform, sampling_scheme
from stvit_video.errors import ConfigError
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.views import ViewConfig
from stvit_video.video.live import LiveFrames
from stvit_video.video.pixels.crops import check_frames

Frames = NDArray[np.uint8] | Tensor
"""All frames of a video, uint8 (T, H, W, C), RGB."""


def cut_videos(
    videos: Iterable[Frames | LiveFrames],
    preprocessing: Preprocessing,
    *,
    data: DataConfig,
    views: ViewConfig,
    fps: float,
    num_videos: int,
) -> Iterator[Batch]:
    """Make batches of all views of the videos, `num_videos` at a time, read at `fps` (0: unknown).

    Raises:
        ConfigError: frames are of another kind, or sampling needs their rate.
    """
    if data.target_fps is not None and not fps:
        raise ConfigError(f"frames need fps: the model reads them at {data.target_fps:g} a second")
    sample = sampling_scheme(preprocessing, data, num_clips=views.num_clips)
    transform = evaluation_transform(preprocessing, views, None)

    def cut(video: Frames | LiveFrames) -> tuple[Tensor, VideoFacts]:
        start = time.perf_counter()
        pick = video.pick if isinstance(video, LiveFrames) else check_frames(video).__getitem__
        chosen = [pick(indices) for indices in sample(len(video), fps=fps)]
        clips = [transform(own, i) for own in chosen for i in range(views.num_crops)]
        duration = len(video) / fps if fps else 0.0
        facts = VideoFacts(len(video), fps, duration, time.perf_counter() - start)
        return torch.stack(clips), facts

    waiting = map(cut, videos)
    while some := list(islice(waiting, num_videos)):
        clips = torch.cat([clip for clip, _ in some])
        place = torch.arange(len(some)).repeat_interleave(views.num_views)
        view = torch.arange(views.num_views).repeat(len(some))
        facts = tuple(own for _, own in some for _ in range(views.num_views))
        yield Batch(clips, place, place, view, facts=facts)
