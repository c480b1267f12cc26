"""Files to pixels: open a video, ask what it is, read frames by number.

Frame i is the i-th frame, in presentation order, that the container shows, whatever the backend.
The only place that knows all decoders: each is one row of `BACKENDS`.
Legend: V clips of a video, T H W frames and pixels, C colours.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stvit_video.errors import ConfigError, did_you_mean
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.decoder import Decoder, VideoInfo
from stvit_video.video.decoding.decord import DecordDecoder
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.decoding.torchcodec import TorchcodecDecoder


def open_video(
    path: str | Path,
    *,
    backend: str = "auto",
    index: VideoIndex | None = None,
    max_pixels: int = MOST_PIXELS,
) -> Decoder:
    """Open a video for reading by frame number.

    `auto` takes PyAV: exact for every file, and measured fastest for clips and segments of every
    kind (docs/results/decoders.md). An `index` of the file, made earlier, spares the pass over its
    packets. A video of more than `max_pixels` a picture is refused before one is decoded.

    Raises:
        VideoDecodeError: the file is missing, empty, no video, cut short, damaged or too large.
        ConfigError: `backend` is unknown or not installed.
    """
    if backend not in BACKENDS:
        known = list(BACKENDS)
        raise ConfigError(
            f"decoder backend ({backend}) must be one of {', '.join(known)}"
            f"{did_you_mean(backend, known)}"
        )
    return BACKENDS[backend](Path(path), index, max_pixels=max_pixels)


def read_frames(
    path: str | Path,
    indices: Sequence[int] | Tensor,
    *,
    backend: str = "auto",
    max_pixels: int = MOST_PIXELS,
) -> Tensor:
    """Read frames with one open: uint8 [T, H, W, C], RGB, upright; any order, repetitions allowed.

    Raises:
        VideoDecodeError: the file cannot be read, or ends before one of the frames.
        ConfigError: `backend` is unknown or not installed.
        ValueError: `indices` is empty, or one is negative.
    """
    with open_video(path, backend=backend, max_pixels=max_pixels) as decoder:
        return decoder.frames(indices)


def read_clips(
    path: str | Path,
    indices: Sequence[Sequence[int]] | Tensor,
    *,
    backend: str = "auto",
    max_pixels: int = MOST_PIXELS,
) -> Tensor:
    """Read clips (V, T) of one video with one open and one pass: uint8 [V, T, H, W, C].

    Raises:
        VideoDecodeError: the file cannot be read, or ends before one of the frames.
        ConfigError: `backend` is unknown or not installed.
        ValueError: `indices` are not one row of frames for each clip, all of one length.
    """
    clips = _clip_rows(indices)  # (V, T)
    frames = read_frames(path, clips.flatten(), backend=backend, max_pixels=max_pixels)
    return frames.unflatten(0, clips.shape)


def probe_video(
    path: str | Path, *, backend: str = "auto", max_pixels: int = MOST_PIXELS
) -> VideoInfo:
    """Say what a video is.

    Raises:
        VideoDecodeError: the file is missing, empty, no video, cut short, damaged or too large.
        ConfigError: `backend` is unknown or not installed.
    """
    with open_video(path, backend=backend, max_pixels=max_pixels) as decoder:
        return decoder.info


def _clip_rows(indices: Sequence[Sequence[int]] | Tensor) -> Tensor:
    try:
        rows = np.asarray(indices, dtype=np.int64)
    except ValueError as error:  # of several lengths
        raise ValueError(_CLIP_ROWS) from error
    if rows.ndim != 2:
        raise ValueError(f"{_CLIP_ROWS}, got {rows.shape}")
    return torch.from_numpy(rows)


_CLIP_ROWS = "indices must be one row of frames for each clip, all of one length"


BACKENDS: Mapping[str, Callable[..., Decoder]] = {
    "auto": partial(PyavDecoder, backend="auto"),
    "decord": DecordDecoder,
    "pyav": PyavDecoder,
    "torchcodec": TorchcodecDecoder,
}
"""Name -> what opens a path, perhaps with an index of it, and with `max_pixels`. A new decoder is
one file, one row here and its name in `Backend`."""
