"""Draw the tokens on the frames of a video, in one pass, and keep what each kind of output shows.

Legend: N frames that are drawn, H W pixels, C colours.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stvit_video.report.token_colours import PALETTE
from stvit_video.video.decoding.decoder import Decoder
from stvit_video.visualize.lens import draw_tokens
from stvit_video.visualize.reading import ReadVideo

Picture = NDArray[np.uint8]
"""uint8 (H, W, C)."""

MOST_MOVIE, MOST_PAGE, MOST_GIF, NUM_SHEET = 1800, 240, 48, 12
"""Frames of each output."""
MOST_PAGE_BYTES = 12 << 20
"""Of all frames of the page as JPEG; where they are more, every second one is left out."""
_GIF_SIDE = 320
_AT_ONCE = 16
"""Whole frames in memory."""


@dataclass
class Kept:
    """What the outputs but the movie are made of."""

    page: list[int] = field(default_factory=list)
    """Frames of the page."""
    jpegs: list[bytes] = field(default_factory=list)
    """The same as they are in the video, without tokens."""
    every: int = 1
    """How many frames for the page there are to one that is kept."""
    gif: list[Image.Image] = field(default_factory=list)
    sheet: list[tuple[int, Picture, Picture]] = field(default_factory=list)
    """Frame, as it is and with tokens."""


def movie_frames(num_frames: int) -> range:
    """Choose the frames of the movie: all, or every n-th."""
    return range(0, num_frames, -(-num_frames // MOST_MOVIE))


def draw_frames(decoder: Decoder, video: ReadVideo, kept: Kept) -> Iterator[Picture]:
    """Yield the pictures of the movie, and note in `kept` what the other outputs need."""
    frames = movie_frames(len(video.times))
    for_page, for_gif = (frames[:: -(-len(frames) // most)] for most in (MOST_PAGE, MOST_GIF))
    places = np.linspace(0, len(frames) - 1, min(NUM_SHEET, len(frames)))
    for_sheet = {frames[round(place)] for place in places}
    index = video.lens.patch_index(video.tubes.shape[1:])
    colours = PALETTE[video.colours]
    numbers = iter(frames)
    for part in decoder.parts(list(frames), _AT_ONCE):
        for plain in video.lens.resize(cast(Tensor, part)):
            number = next(numbers)
            step = video.step[number]
            drawn = draw_tokens(plain, index, video.tubes[step], video.strength[step], colours)
            if number in for_page and for_page.index(number) % kept.every == 0:
                _keep_for_page(kept, number, plain)
            if number in for_gif:
                kept.gif.append(_small(drawn))
            if number in for_sheet:
                kept.sheet.append((number, plain, drawn))
            yield drawn


def gif_bytes(pictures: list[Image.Image], seconds: float) -> bytes:
    """Write an endless animation of `seconds`."""
    stream = io.BytesIO()
    first, *others = (picture.quantize(64, dither=Image.Dither.NONE) for picture in pictures)
    duration = 10 * max(round(100 * seconds / len(pictures)), 2)  # less is taken for a mistake
    first.save(
        stream, "gif", save_all=True, append_images=others, duration=duration, loop=0, optimize=True
    )
    return stream.getvalue()


def _keep_for_page(kept: Kept, number: int, plain: Picture) -> None:
    stream = io.BytesIO()
    Image.fromarray(plain).save(stream, "jpeg", quality=80)
    kept.page.append(number)
    kept.jpegs.append(stream.getvalue())
    if sum(map(len, kept.jpegs)) > MOST_PAGE_BYTES:
        del kept.page[1::2], kept.jpegs[1::2]
        kept.every *= 2


def _small(drawn: Picture) -> Image.Image:
    picture = Image.fromarray(drawn)
    picture.thumbnail((_GIF_SIDE, _GIF_SIDE))
    return picture
