"""How the clips of a video are chosen, as one value that results can carry."""

from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

import torch
from torch import Generator, Tensor

from stvit_video.errors import ConfigError
from stvit_video.settings.data import SamplingKind, ShortVideo
from stvit_video.video.sampling.indices import (
    clip_span,
    evenly_spaced_clips,
    random_dense_clip,
    segment_clip,
    stride_at_fps,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingScheme:
    """A rule from the length of a video to the frames of its clips."""

    kind: SamplingKind = "dense"
    """`dense`: neighbouring frames at a stride. `segments`: one frame of each of `num_frames`
    equal parts of the video, at random inside its part if `random`. `uniform`: their centres."""
    num_frames: int
    """Frames of a clip."""
    frame_stride: int = 1
    """Step between the frames of a dense clip, in frames of the video."""
    target_fps: float | None = None
    """Frames per second at which `frame_stride` counts; None counts frames of the file."""
    num_clips: int = 1
    """Clips per video; evenly spaced unless `random`."""
    random: bool = False
    """Draw the clips, for training; otherwise they are the same every time."""
    short_video: ShortVideo = "repeat_last"
    """What a clip reads past the end of a video that is shorter than it."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "frame_stride", "num_clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sampling {name} ({getattr(self, name)}) must be at least 1")
        if self.target_fps is not None and self.target_fps <= 0:
            raise ConfigError(f"sampling target_fps ({self.target_fps}) must be above 0")
        for name, allowed in (("kind", SamplingKind), ("short_video", ShortVideo)):
            if getattr(self, name) not in get_args(allowed):
                raise ConfigError(
                    f"sampling {name} ({getattr(self, name)}) must be one of"
                    f" {', '.join(get_args(allowed))}"
                )

    def span_seconds(self, fps: float) -> float | None:
        """Seconds that one dense clip covers in a video of `fps`; None for clips of any length."""
        if self.kind != "dense" or not fps:
            return None
        stride: int | Fraction = self.frame_stride
        if self.target_fps is not None:
            stride = stride_at_fps(self.frame_stride, fps=fps, target_fps=self.target_fps)
        return clip_span(self.num_frames, stride) / fps

    def __call__(
        self,
        video_length: int,
        *,
        fps: float,
        generator: Generator | None = None,
        start_step: int = 1,
    ) -> Tensor:
        """Frame indices of the clips of a video of `video_length` frames, as int64 (V, T).

        `fps` is read only with a `target_fps`; `generator` only if `random`, and needed then.
        Random dense clips start at multiples of `start_step` where their stride is one too.
        """
        if self.random and generator is None:
            raise ValueError("a random sampling scheme needs a generator")
        if self.kind != "dense":
            return segment_clip(
                video_length,
                num_frames=self.num_frames,
                num_clips=self.num_clips,
                generator=generator if self.random and self.kind == "segments" else None,
                short_video=self.short_video,
            )
        stride: int | Fraction = self.frame_stride
        if self.target_fps is not None:
            stride = stride_at_fps(self.frame_stride, fps=fps, target_fps=self.target_fps)
        if not self.random:
            return evenly_spaced_clips(
                video_length,
                num_frames=self.num_frames,
                frame_stride=stride,
                num_clips=self.num_clips,
                short_video=self.short_video,
            )
        clips = [
            random_dense_clip(
                video_length,
                num_frames=self.num_frames,
                frame_stride=stride,
                generator=generator,
                short_video=self.short_video,
                start_step=start_step if stride % start_step == 0 else 1,
            )
            for _ in range(self.num_clips)
        ]
        return torch.cat(clips)  # (V, T)
