"""Write videos whose pictures carry their own number, so that a wrong frame shows itself.

The number stands as 12 bits in two rows of six blocks; below them the same bits stand inverted.
Legend: H W pixels, C colours.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

NUM_BITS = 12
_ROWS, _COLUMNS = 4, 6


def numbered_picture(number: int, *, width: int, height: int) -> NDArray[np.uint8]:
    """Draw `number` (0..4095) as blocks: uint8 (H, W, C).

    The smallest size that survives lossy codecs is about 48x32.
    """
    if not 0 <= number < 1 << NUM_BITS:
        raise ValueError(f"number ({number}) must be in 0..{(1 << NUM_BITS) - 1}")
    bits = np.array([number >> i & 1 for i in range(NUM_BITS)]).reshape(2, _COLUMNS)
    blocks = np.concatenate([bits, 1 - bits])  # (rows, columns)
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    grey = np.where(blocks[rows][:, columns] == 1, 215, 40).astype(np.uint8)  # (H, W)
    return np.repeat(grey[..., None], 3, axis=-1)


def read_number(picture: NDArray[np.uint8]) -> int:
    """Read the number of a picture (H, W, C); -1 where the blocks contradict each other."""
    height, width = picture.shape[:2]
    rows = (np.arange(_ROWS) * 2 + 1) * height // (2 * _ROWS)
    columns = (np.arange(_COLUMNS) * 2 + 1) * width // (2 * _COLUMNS)
    blocks = picture[rows][:, columns].mean(axis=-1) > 127  # (rows, columns)
    bits, inverted = blocks[:2].flatten(), blocks[2:].flatten()
    if (bits == inverted).any():
        return -1
    return int((bits << np.arange(NUM_BITS)).sum())


def write_pictures(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 25,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    times: Iterable[int] | None = None,
) -> None:
    """Encode pictures (H, W, C) to `path`; its suffix chooses the container.

    `times` gives each picture its time in ticks of 1/1000 s; without them the rate is constant.
    """
    address = f"file:{path.absolute()}"  # else FFmpeg takes some names for addresses
    with av.open(address, "w", container_options=dict(container_options or {})) as container:
        stream: Any = None
        ticks: Iterator[int] | None = None if times is None else iter(times)
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.codec_context.thread_count = 1
                if ticks is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number if ticks is None else next(ticks)
            frame.time_base = Fraction(1, fps) if ticks is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
