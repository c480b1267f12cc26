"""Decode with torchcodec, an extra that needs the shared libraries of FFmpeg. The only place that
knows torchcodec.

Legend: T H W frames and pixels, C colours.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
from stvit_video.video.frame_planes import FramePlanes


class TorchcodecDecoder:
    """Exact where the packets tell which pictures are shown; refuses the files that it misreads."""

    def __init__(
        self, path: Path, index: VideoIndex | None = None, *, max_pixels: int = MOST_PIXELS
    ) -> None:
        """Open with one thread, after PyAV has found the file whole, now or for the `index`."""
        self.path = path
        self._process = os.getpid()
        self._file: BinaryIO | None = None
        decoders = _load_decoders()
        self._index = index_video(path, index, backend="torchcodec", max_pixels=max_pixels)
        misreading = _misreading(self._index)
        if misreading:
            raise wrong_backend(path, misreading, backend="torchcodec")
        try:
            self._file = path.open("rb")  # without a name, which torchcodec might obey
            self._decoder: Any = decoders.VideoDecoder(
                self._file,
                stream_index=self._index.stream,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                custom_frame_mappings=_frame_mappings(self._index),
            )
        except (RuntimeError, ValueError, OSError) as error:
            self.close()
            extent = check_file(path, backend="torchcodec")
            raise open_fault(path, extent, backend="torchcodec") from error
        self.num_frames = self._index.info.num_frames
        self._turns = round((getattr(self._decoder.metadata, "rotation", None) or 0) / 90)

    @cached_property
    def info(self) -> VideoInfo:
        """What the video is."""
        return replace(self._index.info, backend="torchcodec")

    def frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode the frames at `indices`: uint8 [T, H, W, C], RGB, upright."""
        check_process(self.path, self._process)
        return arrange_frames(self.path, self.num_frames, indices, self._read, backend="torchcodec")

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
        self._decoder = None
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> "TorchcodecDecoder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read(self, targets: Sequence[int]) -> Tensor:
        try:
            pictures = self._decoder.get_frames_at(list(targets)).data
        except (RuntimeError, IndexError) as error:
            raise VideoDecodeError(
                self.path, backend="torchcodec", stage="decode", reason="corrupt"
            ) from error
        try:
            return self._index.display.set_upright(pictures, num_turned=self._turns)
        except ValueError as error:
            raise wrong_backend(self.path, str(error), backend="torchcodec") from error


def _misreading(index: VideoIndex) -> str:
    """Why torchcodec would give other pictures than those asked for; empty where it does not."""
    table = index.table
    if table.has_shared_times:
        return "pictures share a time"
    is_reordered = bool((np.diff(table.times) < 0).any())
    if table.format_name in ("mpeg", "mpegts") or (table.format_name == "avi" and is_reordered):
        return f"container {table.format_name}"
    return "its packets do not tell which pictures are shown" if index.is_sequential else ""


def _frame_mappings(index: VideoIndex) -> str | None:
    """Tell torchcodec, as JSON, what a pass of its own over the packets is to find out.

    None, for that pass, where times do not belong to pictures, and without a length in the header,
    which torchcodec then cannot do without.
    """
    table = index.table
    if not (table.is_exact and index.has_declared_duration):
        return None
    durations = np.diff(table.pts, append=table.pts[-1] + table.last_duration)
    is_entry = np.isin(table.positions, table.entries)
    is_entry[0] = True  # its own may be cut away by an edit list; FFmpeg seeks to that
    rows = zip(table.pts.tolist(), durations.tolist(), is_entry.tolist(), strict=True)
    frames = (  # in a third of the time that json.dumps takes
        f'{{"pts":{time},"duration":{duration},"key_frame":{is_key:d}}}'
        for time, duration, is_key in rows
    )
    return f'{{"frames":[{",".join(frames)}]}}'


def _load_decoders() -> Any:
    """Import torchcodec; without FFmpeg some of its versions fail here, others say so quietly.

    Raises:
        ConfigError: torchcodec is not installed, or FFmpeg's libraries are not there.
    """
    if not has_backend("torchcodec"):
        raise ConfigError(
            "decoder backend (torchcodec) is not installed; pip install stvit-video[torchcodec]"
        )
    try:
        decoders = import_module("torchcodec.decoders")
        is_usable = getattr(import_module("torchcodec"), "ffmpeg_major_version", 0) is not None
    except (ImportError, OSError, RuntimeError):
        is_usable = False
    if not is_usable:
        raise ConfigError(
            "decoder backend (torchcodec) cannot start; install FFmpeg's shared libraries,"
            " or use auto or pyav"
        )
    return decoders
