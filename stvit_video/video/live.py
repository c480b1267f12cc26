"""Pictures of a stream as they come: a thread decodes, the last seconds are kept.

Legend: T H W frames and pixels, C colours.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import av
import numpy as np
import torch
from av.error import FFmpegError
from torch import Tensor

from stvit_video.errors import ConfigError, VideoDecodeError
from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.conversion import convert

_PROTOCOLS = {
    "http": "http,https,tcp,tls,crypto,httpproxy",
    "https": "http,https,tcp,tls,crypto,httpproxy",
    "rtsp": "rtsp,rtp,udp,tcp,tls",
    "rtsps": "rtsp,rtsps,rtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tcp,tls",
    "srt": "srt,udp",
    "tcp": "tcp",
    "udp": "udp",
    "rtp": "rtp,udp",
}
"""Scheme of an address -> what FFmpeg may open for it; never files, which a playlist could name."""
TIMEOUT_SECONDS = 10.0
_TICK = 1e-3
"""Seconds between a picture and one that claims to come before it."""


class LivePicture(NamedTuple):
    """A picture of a stream."""

    seconds: float
    """Since the first one, as the stream counts."""
    arrived: float
    """When it was decoded, by `time.monotonic`."""
    frame: Any
    """`VideoFrame` of PyAV."""


@dataclass(frozen=True, slots=True)
class LiveFrames:
    """Pictures of a stretch of a stream; they become RGB when they are picked."""

    pictures: Sequence[LivePicture]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def fps(self) -> float:
        """Pictures a second; 0 where one alone does not tell."""
        seconds = self.pictures[-1].seconds - self.pictures[0].seconds if self.pictures else 0.0
        return (len(self.pictures) - 1) / seconds if seconds > 0 else 0.0

    def pick(self, indices: Tensor) -> Tensor:
        """Convert some: uint8 (T, H, W, C), all of the size of the first one of the stretch."""
        first = self.pictures[0].frame
        size = {"width": first.width, "height": first.height}
        shown = [
            convert(self.pictures[index].frame, "rgb24", **size).to_ndarray()
            for index in indices.tolist()
        ]
        return torch.from_numpy(np.stack(shown))


class LiveVideo:
    """An open stream. Use it as a context: a thread decodes until its end."""

    def __init__(
        self,
        source: str,
        *,
        keep_seconds: float,
        format: str | None = None,
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        """Open `source`: an address, a device such as /dev/video0, or a file, read at its own pace.

        `format` is what FFmpeg calls the input; of /dev/video* v4l2.

        Raises:
            ConfigError: the scheme of the address is none that is read.
            VideoDecodeError: there is no stream, or no picture in it.
        """
        self.source = source
        self.keep_seconds = keep_seconds
        self.num_pictures = 0
        self.num_damaged = 0
        """Packets that did not decode."""
        self._is_paced = Path(source).is_file()
        self._container, self._stream = _open(source, format, max_pixels)
        self._begin = (0.0, 0.0)
        """Of the first picture: the time that the stream gives it, and when it arrived."""
        self._kept: deque[LivePicture] = deque()
        self._news = threading.Condition()
        self._has_ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._decode, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=TIMEOUT_SECONDS + 1)

    def wait_for(self, seconds: float) -> float | None:
        """Wait for a picture at `seconds` or later; return the time of the last one that came.

        None where the stream ends before.
        """
        with self._news:
            self._news.wait_for(lambda: self._has_ended or self._last_seconds() >= seconds)
            return self._last_seconds() if self._last_seconds() >= seconds else None

    def stretch(self, start: float, end: float) -> LiveFrames:
        """Return the pictures that are shown from `start` to ahead of `end`, as far as kept."""
        with self._news:
            return LiveFrames([p for p in self._kept if start <= p.seconds < end])

    def _last_seconds(self) -> float:
        return self._kept[-1].seconds if self._kept else -1.0

    def _decode(self) -> None:
        try:
            for frame in self._frames():
                if self._stop.is_set():
                    break
                self._keep(frame)
        finally:
            with self._news:
                self._has_ended = True
                self._news.notify_all()
            self._container.close()

    def _frames(self) -> Iterator[Any]:
        """Yield pictures; what is damaged is counted, and an end is an end, however it comes."""
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield from packet.decode()
                except FFmpegError:
                    self.num_damaged += 1
        except (FFmpegError, OSError):
            return

    def _keep(self, frame: Any) -> None:
        now = time.monotonic()
        if not self.num_pictures:
            self._begin = (frame.time or 0.0, now)
        told, arrived = self._begin
        seconds = now - arrived if frame.time is None else frame.time - told
        if self._is_paced:
            self._stop.wait(max(arrived + seconds - now, 0.0))
            now = time.monotonic()
        with self._news:
            if self._kept and seconds <= self._last_seconds():  # the stream began anew
                later = self._last_seconds() + _TICK - seconds
                self._begin = (told - later, arrived)
                seconds += later
            self._kept.append(LivePicture(seconds, now, frame))
            while self._kept[0].seconds < seconds - self.keep_seconds:
                self._kept.popleft()
            self.num_pictures += 1
            self._news.notify_all()


def _open(source: str, format: str | None, max_pixels: int) -> tuple[Any, Any]:
    scheme = urlsplit(source).scheme if "://" in source else ""
    if scheme and scheme not in _PROTOCOLS:
        raise ConfigError(
            f"source ({source}) must be an address of {', '.join(_PROTOCOLS)}, a device or a file"
        )
    if not scheme and not Path(source).exists():
        raise VideoDecodeError(Path(source), backend="pyav", stage="open", reason="missing")
    if format is None and source.startswith("/dev/video"):
        format = "v4l2"
    address = source if scheme or format else f"file:{Path(source).absolute()}"
    options = {"protocol_whitelist": _PROTOCOLS.get(scheme, "file")}
    try:
        container = av.open(address, format=format, options=options, timeout=TIMEOUT_SECONDS)
    except (FFmpegError, OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or str(error)
        raise VideoDecodeError(
            Path(source), backend="pyav", stage="open", reason="not a video", detail=detail
        ) from error
    stream: Any = container.streams.best("video")
    if stream is None:
        container.close()
        raise VideoDecodeError(Path(source), backend="pyav", stage="open", reason="no video stream")
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    stream.thread_type = "AUTO"
    return container, stream
