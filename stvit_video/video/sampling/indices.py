"""Choose which frames of a video form its clips. Integer arithmetic only: no I/O, no pixels.

Legend: V clips per video, T frames per clip.
"""

from fractions import Fraction

import torch
from torch import Generator, Tensor

from stvit_video.settings.data import ShortVideo


def clip_span(num_frames: int, frame_stride: int | Fraction) -> int:
    """Frames from the first to the last frame of a clip, both included.

    4 frames at stride 3 read `x..x..x..x`, a span of 10.
    """
    return _offset(num_frames - 1, frame_stride) + 1


def stride_at_fps(frame_stride: int, *, fps: float, target_fps: float) -> Fraction:
    """Return the stride in frames of a video of `fps` that takes as long as at `target_fps`.

    Stride 32 at 30 frames a second is stride 64 in a video of 60.
    """
    if fps <= 0:
        raise ValueError(f"fps ({fps}) must be above 0 to bring the stride to {target_fps:g} fps")
    return frame_stride * Fraction(fps).limit_denominator(10_000) / Fraction(target_fps)


def evenly_spaced_clips(
    video_length: int,
    *,
    num_frames: int,
    frame_stride: int | Fraction,
    num_clips: int,
    short_video: ShortVideo = "repeat_last",
) -> Tensor:
    """Frame indices of `num_clips` clips spread evenly over the video, as int64 (V, T).

    The first clip starts at frame 0 and the last one ends at the last frame. One clip is centred.
    """
    _check_counts(video_length, num_frames=num_frames, num_clips=num_clips)
    last_start = max(video_length - clip_span(num_frames, frame_stride), 0)
    if num_clips == 1:
        starts = [last_start // 2]
    else:
        starts = [_rounded(clip * last_start, num_clips - 1) for clip in range(num_clips)]
    return _dense_clips(starts, video_length, num_frames, frame_stride, short_video)


def random_dense_clip(
    video_length: int,
    *,
    num_frames: int,
    frame_stride: int | Fraction,
    generator: Generator | None,
    short_video: ShortVideo = "repeat_last",
    start_step: int = 1,
) -> Tensor:
    """Frame indices of one clip whose start is drawn evenly over the video, as int64 (1, T).

    The start is a multiple of `start_step`.
    """
    _check_counts(video_length, num_frames=num_frames, num_clips=1)
    last_start = max(video_length - clip_span(num_frames, frame_stride), 0)
    start = start_step * int(torch.randint(last_start // start_step + 1, (), generator=generator))
    return _dense_clips([start], video_length, num_frames, frame_stride, short_video)


def segment_clip(
    video_length: int,
    *,
    num_frames: int,
    num_clips: int = 1,
    generator: Generator | None = None,
    short_video: ShortVideo = "repeat_last",
) -> Tensor:
    """Frame indices of clips that read one frame of each of T equal segments, as int64 (V, T).

    With a `generator` the frame is drawn at random inside its segment. Without one, one clip reads
    the centres; two clips read the start and the middle of each segment, as VideoMAE is tested, and
    V clips read at every V-th part of it.
    """
    _check_counts(video_length, num_frames=num_frames, num_clips=num_clips)
    if video_length < num_frames:
        return _dense_clips([0] * num_clips, video_length, num_frames, 1, short_video)
    bounds = torch.arange(num_frames + 1) * video_length // num_frames  # (T + 1,)
    first, length = bounds[:-1], bounds.diff()  # (T,) each; every length is at least 1
    if generator is None and num_clips == 1:
        return (first + (length - 1) // 2)[None]  # (1, T)
    if generator is None:
        parts = torch.arange(num_frames * num_clips) * video_length // (num_frames * num_clips)
        return parts.reshape(num_frames, num_clips).T  # (V, T)
    draws = [
        int(torch.randint(int(size), (), generator=generator))
        for _ in range(num_clips)
        for size in length
    ]
    return first + torch.tensor(draws).reshape(num_clips, num_frames)  # (V, T)


def clip_around(
    video_length: int, center: int, *, num_frames: int, frame_stride: int | Fraction
) -> Tensor:
    """Frame indices of the clip whose frame T // 2 is `center`, as int64 (T,).

    Past the ends of the video it stays on the first frame and on the last.
    """
    _check_counts(video_length, num_frames=num_frames, num_clips=1)
    offsets = torch.tensor([_offset(frame, frame_stride) for frame in range(num_frames)])
    return (center + offsets - offsets[num_frames // 2]).clamp(0, video_length - 1)


def _check_counts(video_length: int, *, num_frames: int, num_clips: int) -> None:
    for name, value in (
        ("video_length", video_length),
        ("num_frames", num_frames),
        ("num_clips", num_clips),
    ):
        if value < 1:
            raise ValueError(f"{name} ({value}) must be at least 1")


def _dense_clips(
    starts: list[int],
    video_length: int,
    num_frames: int,
    frame_stride: int | Fraction,
    short_video: ShortVideo,
) -> Tensor:
    offsets = torch.tensor([_offset(frame, frame_stride) for frame in range(num_frames)])  # (T,)
    indices = torch.tensor(starts)[:, None] + offsets  # (V, T)
    last = video_length - 1
    if short_video == "loop":
        return indices % video_length
    if short_video == "clamp":
        return indices.clamp(max=last)
    inside = indices.where(indices <= last, -1).amax(dim=1, keepdim=True)  # (V, 1)
    return indices.where(indices <= last, inside)


def _offset(frame: int, frame_stride: int | Fraction) -> int:
    """Frames between frame 0 and frame `frame` of a clip, rounded down."""
    stride = Fraction(frame_stride)
    if stride <= 0:
        raise ValueError(f"frame_stride ({frame_stride}) must be above 0")
    return frame * stride.numerator // stride.denominator


def _rounded(numerator: int, denominator: int) -> int:
    """Divide and round to the nearest whole number, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)
