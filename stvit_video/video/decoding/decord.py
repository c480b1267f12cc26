"""Decode with decord. The only place that knows decord.

Legend: T H W frames and pixels, C colours.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.decoder import (
    VideoInfo,
    arrange_frames,
    check_process,
    frames_in_parts,
    has_backend,
)
from stvit_video.video.decoding.faults import check_file, open_fault, wrong_backend
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.indexing import index_video
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.frame_planes import FramePlanes

_LIKENESS = 16
"""Grey levels in the mean by which the same picture may differ between two decoders."""


class DecordDecoder:
    """Exact on closed groups of pictures.

    The packets of a file that nothing is known of are read first: they tell which stream of
    several decord should have taken, and what sets its pictures upright.
    """

    def __init__(
        self, path: Path, index: VideoIndex | None = None, *, max_pixels: int = MOST_PIXELS
    ) -> None:
        """Open with one thread. An `index` of this file spares the pass over its packets."""
        self.path = path
        self._max_pixels = max_pixels
        self._process = os.getpid()
        self._decord = _load_decord()
        self._index = index_video(path, index, backend="decord", max_pixels=max_pixels)
        table = self._index.table
        if table.has_shared_times:
            raise self._refusal("pictures share a time")
        if table.has_false_list:
            raise self._refusal("its table calls pictures key frames that are none")
        if not self._index.has_declared_duration:
            raise self._refusal("its header gives no true length")
        try:
            self._reader: Any = self._read_from(path)
        except (self._decord.DECORDError, RuntimeError) as error:
            extent = check_file(path, backend="decord")
            raise open_fault(path, extent, backend="decord") from error
        self.num_frames = len(self._reader)
        if self._index.num_videos > 1:
            self._check_stream()

    @cached_property
    def info(self) -> VideoInfo:
        """What the video is, with the number of frames that decord sees."""
        return replace(self._index.info, num_frames=self.num_frames, backend="decord")

    def frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode the frames at `indices`: uint8 [T, H, W, C], RGB, upright."""
        check_process(self.path, self._process)
        return arrange_frames(self.path, self.num_frames, indices, self._read, backend="decord")

    def planes(self, indices: Sequence[int] | Tensor) -> FramePlanes | None:
        """Return None: this decoder gives RGB."""
        return None

    def parts(
        self, indices: Sequence[int], at_once: int, *, as_planes: bool = False
    ) -> Iterator[Tensor | FramePlanes]:
        """Decode the frames at ascending, different `indices`, `at_once` at a time."""
        return frames_in_parts(self, indices, at_once)

    def times(self) -> NDArray[np.float64]:
        """Seconds from the first frame to each: (num_frames,)."""
        return self._index.times(self.num_frames)

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None

    def __enter__(self) -> "DecordDecoder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_from(self, path: Path) -> Any:
        """Open by the absolute path, which is no address; decord takes a % for many pictures."""
        if "%" not in str(path.absolute()):
            return self._decord.VideoReader(str(path.absolute()), num_threads=1)
        with path.open("rb") as file:
            return self._decord.VideoReader(file, num_threads=1)  # reads it whole

    def _read(self, targets: Sequence[int]) -> Tensor:
        try:
            pictures = self._reader.get_batch(targets)
            self._reader.seek(0)  # ends the reading ahead, which fills the memory
        except (self._decord.DECORDError, RuntimeError) as error:
            raise VideoDecodeError(
                self.path, backend="decord", stage="decode", reason="corrupt"
            ) from error
        if not isinstance(pictures, Tensor):  # else another package set the bridge
            pictures = from_dlpack(pictures.to_dlpack())
        return self._upright(pictures)

    def _upright(self, pictures: Tensor) -> Tensor:
        """Show pictures as a player does: decord has turned them where it could, no more."""
        display = self._index.display
        turns = display.naive_turns if self._index.table.format_name == "mov" else 0
        try:
            return display.set_upright(pictures, num_turned=turns)
        except ValueError as error:
            raise self._refusal(str(error)) from error

    def _check_stream(self) -> None:
        """Refuse a file of which decord reads another stream; it cannot be told which."""
        pyav = PyavDecoder(self.path, self._index, backend="decord", max_pixels=self._max_pixels)
        with pyav as decoder:
            expected = decoder.frames([0])
        difference = float((self._read([0]).float() - expected).abs().mean())
        if self.num_frames != self._index.info.num_frames or difference > _LIKENESS:
            raise self._refusal(f"it does not read stream {self._index.stream}")

    def _refusal(self, detail: str) -> VideoDecodeError:
        return wrong_backend(self.path, detail, backend="decord")


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
