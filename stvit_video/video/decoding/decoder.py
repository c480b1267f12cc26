"""What a decoder is: one protocol for all of them, and what they share.

Adding one takes a file with a class that satisfies `Decoder`, its row in `open.py` and its name in
`settings.data.Backend`. Legend: T H W frames and pixels, C colours.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.errors import VideoDecodeError
from stvit_video.video.frame_planes import FramePlanes


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What a video is, as far as its container and packets tell."""

    path: Path
    num_frames: int
    """Frames that the container shows."""
    fps: float
    """Average frames per second."""
    duration_seconds: float
    """From the first frame to the end of the last one."""
    width: int
    """Of the upright picture, in pixels."""
    height: int
    """Of the upright picture, in pixels."""
    codec: str
    """As FFmpeg calls it: `h264`, `vp9`."""
    backend: str
    """What decodes the file: the choice of `auto`, or the one that was asked for."""


class Decoder(Protocol):
    """An open video. Use it in the process that opened it, and close it."""

    @property
    def info(self) -> VideoInfo:
        """What the video is."""

    @property
    def num_frames(self) -> int:
        """Frames that can be asked for; cheaper than `info.num_frames`."""

    def frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode the frames at `indices`, in any order: uint8 [T, H, W, C], RGB, upright."""

    def planes(self, indices: Sequence[int] | Tensor) -> FramePlanes | None:
        """Decode the frames at `indices`, and stop there; None where only RGB can be had."""

    def parts(
        self, indices: Sequence[int], at_once: int, *, as_planes: bool = False
    ) -> Iterator[Tensor | FramePlanes]:
        """Decode the frames at ascending, different `indices` in one pass, `at_once` at a time.

        Each part is what `frames` gives, or `as_planes` what `planes` does, where it can be had.
        """

    def times(self) -> NDArray[np.float64]:
        """Seconds from the first frame to each: (num_frames,)."""

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        """Close at the end of the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def arrange_frames(
    path: Path,
    num_frames: int,
    indices: Sequence[int] | Tensor,
    read: Callable[[Sequence[int]], NDArray[np.uint8] | Tensor],
    *,
    backend: str,
) -> Tensor:
    """Serve any order and repetition from a `read` that takes ascending, different indices.

    Raises:
        ValueError: an index is negative, or there is none.
        VideoDecodeError: an index lies beyond the last frame.
    """
    unique, inverse = order_indices(path, num_frames, indices, backend=backend)
    pictures = torch.as_tensor(read(unique.tolist()))  # (T, H, W, C), each frame once
    if len(unique) == len(inverse) and (inverse[:-1] < inverse[1:]).all():
        return pictures
    return pictures[torch.from_numpy(inverse)]


def order_indices(
    path: Path, num_frames: int, indices: Sequence[int] | Tensor, *, backend: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different indices, ascending, and where among them each of `indices` stands.

    Raises:
        ValueError: an index is negative, or there is none.
        VideoDecodeError: an index lies beyond the last frame.
    """
    wanted = np.asarray(indices, dtype=np.int64)
    if wanted.ndim != 1 or not len(wanted):
        raise ValueError(f"indices must be one row of at least 1 frame, got {wanted.shape}")
    unique, inverse = np.unique(wanted, return_inverse=True)
    if unique[0] < 0:
        raise ValueError(f"frame index ({unique[0]}) must be at least 0")
    if unique[-1] >= num_frames:
        detail = f"{num_frames} frames, but frame {unique[-1]} was asked for"
        raise VideoDecodeError(
            path, backend=backend, stage="read", reason="truncated", detail=detail
        )
    return unique, inverse


def frames_in_parts(decoder: Decoder, indices: Sequence[int], at_once: int) -> Iterator[Tensor]:
    """Decode part after part, by a call for each."""
    for start in range(0, len(indices), at_once):
        yield decoder.frames(indices[start : start + at_once])


def check_process(path: Path, process: int) -> None:
    """Refuse a decoder that came through a fork: it shares its file position with the parent.

    Raises:
        RuntimeError: the decoder was opened by another process than this one.
    """
    if process != os.getpid():
        raise RuntimeError(f"{path} was opened by another process; open it in the worker")


def has_backend(name: str) -> bool:
    """Whether the package of a backend is installed."""
    module = {"pyav": "av"}.get(name, name)
    return importlib.util.find_spec(module) is not None
