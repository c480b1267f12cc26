"""Decode with decord. The only place that knows decord.

Legend: T H W frames and pixels, C colours.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.dlpack import from_dlpack

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.video.decoding.decoder import (
    VideoInfo,
    arrange_frames,
    check_process,
    has_backend,
)
from stvit_video.video.decoding.faults import check_file, open_fault
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.decoding.stream import read_header
from stvit_video.video.frame_planes import FramePlanes


class DecordDecoder:
    """Fast and exact on closed groups of pictures; `auto` uses it only there."""

    def __init__(self, path: Path, *, info: VideoInfo | None = None) -> None:
        """Open with one thread. `info` spares a second look where `auto` has probed the file."""
        self.path = path
        self._process = os.getpid()
        self._decord = _load_decord()
        extent = check_file(path, backend="decord")
        if info is None and extent.is_cut:
            PyavDecoder(path, backend="decord").close()  # says how many frames are left
        self._header = info or read_header(path, backend="decord")
        try:
            self._reader: Any = self._decord.VideoReader(str(path), num_threads=1)
        except (self._decord.DECORDError, RuntimeError) as error:
            raise open_fault(path, extent, backend="decord") from error
        self.num_frames = len(self._reader)

    @cached_property
    def info(self) -> VideoInfo:
        """What the video is by its header, with the number of frames that decord sees."""
        return replace(self._header, num_frames=self.num_frames)

    def frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode the frames at `indices`: uint8 [T, H, W, C], RGB, upright."""
        check_process(self.path, self._process)
        return arrange_frames(self.path, self.num_frames, indices, self._read, backend="decord")

    def planes(self, indices: Sequence[int] | Tensor) -> FramePlanes | None:
        """Return None: this decoder gives RGB."""
        return None

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None

    def __enter__(self) -> "DecordDecoder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read(self, targets: Sequence[int]) -> Tensor:
        try:
            pictures = self._reader.get_batch(targets)
        except (self._decord.DECORDError, RuntimeError) as error:
            raise VideoDecodeError(
                self.path, backend="decord", stage="decode", reason="corrupt"
            ) from error
        if isinstance(pictures, Tensor):  # another package, such as PyTorchVideo, set the bridge
            return pictures
        return from_dlpack(pictures.to_dlpack())


def _load_decord() -> Any:
    """Import decord, which has no wheels for some platforms, and keep it quiet.

    Raises:
        ConfigError: decord is not installed.
    """
    if not has_backend("decord"):
        raise ConfigError("decoder backend (decord) is not installed; use auto or pyav")
    decord = import_module("decord")
    decord.logging.set_level(decord.logging.QUIET)
    return decord
