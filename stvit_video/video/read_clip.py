"""Read the clips of a sampling scheme from a file: open, choose, decode, close.

Legend: V clips of a video, T H W frames and pixels, C colours.
"""

from pathlib import Path

from torch import Generator, Tensor

from stvit_video.settings.data import MOST_PIXELS
from stvit_video.video.decoding.index import VideoIndex
from stvit_video.video.decoding.open import open_video
from stvit_video.video.sampling.scheme import SamplingScheme


def read_sampled(
    path: Path,
    scheme: SamplingScheme,
    *,
    generator: Generator,
    start_step: int = 1,
    backend: str = "auto",
    index: VideoIndex | None = None,
    max_pixels: int = MOST_PIXELS,
) -> Tensor:
    """Return the frames of the clips, one behind the other: uint8 (V * T, H, W, C).

    Raises:
        VideoDecodeError: the file cannot be read.
    """
    with open_video(path, backend=backend, index=index, max_pixels=max_pixels) as decoder:
        info = decoder.info
        clips = scheme(info.num_frames, fps=info.fps, generator=generator, start_step=start_step)
        return decoder.frames(clips.flatten())
