"""Files to pixels: open a video, ask what it is, read frames by number.

Frame i is the i-th frame, in presentation order, that the container shows, whatever the backend.
Legend: V clips of a video, T H W frames and pixels, C colours.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.errors import ConfigError, VideoDecodeError, did_you_mean
from stvit_video.video.decoding.known_files import KnownFiles

Backend = Literal["auto", "decord", "pyav", "torchcodec"]


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


def open_video(path: Path, *, backend: str = "auto") -> Decoder:
    """Open a video for reading by frame number.

    `auto` takes the fastest installed backend that is frame-exact for this file, judged by its
    packets: decord for closed groups of pictures in mp4, mkv and webm, PyAV for the rest.

    Raises:
        VideoDecodeError: the file is missing, empty, no video, cut short or damaged.
        ConfigError: `backend` is unknown or not installed.
    """
    path = Path(path)
    if backend not in get_args(Backend):
        known = list(get_args(Backend))
        raise ConfigError(
            f"decoder backend ({backend}) must be one of {', '.join(known)}"
            f"{did_you_mean(backend, known)}"
        )
    if backend == "auto":
        return _open_auto(path)
    if backend == "decord":
        return _open_decord(path)
    if backend == "torchcodec":
        return _open_torchcodec(path)
    return _open_pyav(path)


def read_frames(path: Path, indices: Sequence[int] | Tensor, *, backend: str = "auto") -> Tensor:
    """Read frames with one open: uint8 [T, H, W, C], RGB, upright. Raises as `open_video`."""
    with open_video(path, backend=backend) as decoder:
        return decoder.frames(indices)


def read_clips(path: Path, indices: Tensor, *, backend: str = "auto") -> Tensor:
    """Read clips (V, T) of one video with one open and one pass: uint8 [V, T, H, W, C]."""
    num_clips, num_frames = indices.shape
    return read_frames(path, indices.flatten(), backend=backend).unflatten(
        0, (num_clips, num_frames)
    )


def probe_video(path: Path, *, backend: str = "auto") -> VideoInfo:
    """Say what a video is. Raises as `open_video`."""
    with open_video(path, backend=backend) as decoder:
        return decoder.info


def has_backend(name: str) -> bool:
    """Whether the package of a backend is installed."""
    module = {"pyav": "av"}.get(name, name)
    return importlib.util.find_spec(module) is not None


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
    pictures = torch.as_tensor(read(unique.tolist()))  # (T, H, W, C), each frame once
    if len(unique) == len(wanted) and (inverse[:-1] < inverse[1:]).all():
        return pictures
    return pictures[torch.from_numpy(inverse)]


def check_process(path: Path, process: int) -> None:
    """Refuse a decoder that came through a fork: it shares its file position with the parent.

    Raises:
        RuntimeError: the decoder was opened by another process than this one.
    """
    if process != os.getpid():
        raise RuntimeError(f"{path} was opened by another process; open it in the worker")


def _open_auto(path: Path) -> Decoder:
    from stvit_video.video.decoding.exactness import doubt_of_decord
    from stvit_video.video.decoding.pyav import PyavDecoder

    known = _decord_files.recall(path)
    if known is not None:
        return _open_decord(path, known)
    decoder = PyavDecoder(path, backend="auto")
    if not has_backend("decord") or doubt_of_decord(decoder):
        return decoder
    try:
        candidate = _open_decord(path, replace(decoder.info, backend="decord"))
    except VideoDecodeError:
        return decoder
    if candidate.num_frames != decoder.num_frames:
        candidate.close()
        return decoder
    decoder.close()
    _decord_files.note(path, candidate.info)
    return candidate


_decord_files: KnownFiles[VideoInfo] = KnownFiles()
"""Files that `auto` has found fit for decord."""


def _open_pyav(path: Path) -> Decoder:
    from stvit_video.video.decoding.pyav import PyavDecoder

    return PyavDecoder(path)


def _open_decord(path: Path, info: VideoInfo | None = None) -> Decoder:
    if not has_backend("decord"):
        raise ConfigError("decoder backend (decord) is not installed; use auto or pyav")
    from stvit_video.video.decoding.decord import DecordDecoder

    return DecordDecoder(path, info=info)


def _open_torchcodec(path: Path) -> Decoder:
    if not has_backend("torchcodec"):
        raise ConfigError(
            "decoder backend (torchcodec) is not installed; pip install stvit-video[torchcodec]"
        )
    from stvit_video.video.decoding.torchcodec import TorchcodecDecoder

    return TorchcodecDecoder(path)
