"""Draw what was found on a picture: boxes, masks, names and scores; and token clusters beside it.

Legend: H W pixels, n objects, S semantic tokens, (h, w) patch grid.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as pycoco

from stvit_video.detection.pictures.answers import Detections
from stvit_video.report.token_colours import PALETTE, choose_colours, find_owners, paint
from stvit_video.visible import cut, visible

Picture = NDArray[np.uint8]
"""uint8 (H, W, 3)."""
Colour = tuple[int, int, int]

_COLOURS: list[Colour] = [tuple(row) for row in PALETTE[1:].tolist()]
"""Of classes; white is left out, many pictures are."""
_DARK: Colour = (20, 20, 20)
_MASK_SHARE = 0.45
"""Of the colour in a pixel of a mask."""
_MOST_NAME = 40
"""Characters of a class name on a picture."""


def draw_objects(picture: Picture, found: Detections, labels: Sequence[str]) -> Picture:
    """Draw the objects of a picture, the surest last and so on top; `labels` name the classes.

    A class has one colour in all pictures. Small pictures get thin lines and small letters.
    """
    drawn = picture
    order = range(len(found.labels))[::-1]
    colours = [_COLOURS[(label - 1) % len(_COLOURS)] for label in found.labels]
    if found.masks is not None:
        drawn = drawn.copy()
        for place in order:
            _tint(drawn, pycoco.decode(found.masks[place]) > 0, colours[place])
    image = Image.fromarray(drawn)
    draw = ImageDraw.Draw(image)
    long_side = max(image.size)
    line = max(1, round(long_side / 320))
    for place in order:
        left, top, right, bottom = found.boxes[place].tolist()
        draw.rectangle(
            (left - 1, top - 1, max(right, left) + 1, max(bottom, top) + 1),
            outline=_DARK,
            width=line + 2,
        )
        draw.rectangle(
            (left, top, max(right, left), max(bottom, top)), outline=colours[place], width=line
        )
    font = _font(min(max(long_side // 40, 9), 28))
    for place in order:
        words = f"{_name(labels, found.labels[place])} {found.scores[place]:.2f}"
        _write(draw, font, words, found.boxes[place].tolist(), colours[place])
    return np.asarray(image)


def beside(
    picture: Picture,
    clusters: NDArray[np.float32],
    *,
    plain: Picture | None = None,
    covered: tuple[float, float] = (1.0, 1.0),
) -> Picture:
    """Put the picture, coloured by which semantic token reads each patch most, on its right.

    `clusters` are weights (S, h, w). They colour `plain`, the picture before anything was drawn.
    `covered` are the height and width of the part of the grid, from its top left, that the picture
    fills; a detector pads the rest.
    """
    owner, strength = find_owners(clusters[:, None])  # (1, h, w)
    colours = PALETTE[choose_colours(owner, len(clusters))]  # (S, 3)
    rows, columns = (
        (np.arange(length) * share * cells / length).astype(np.int64).clip(max=cells - 1)
        for length, share, cells in zip(picture.shape[:2], covered, clusters.shape[1:], strict=True)
    )
    grid = np.ix_(rows, columns)
    painted = paint(picture if plain is None else plain, owner[0][grid], strength[0][grid], colours)
    gap = np.full((len(picture), max(2, picture.shape[1] // 100), 3), 255, np.uint8)
    return np.concatenate([picture, gap, painted], axis=1)


def _name(labels: Sequence[str], label: int) -> str:
    name = labels[label - 1] if 1 <= label <= len(labels) else f"class {label}"
    return cut(visible(name), _MOST_NAME)


def _tint(picture: Picture, mask: NDArray[np.bool_], colour: Colour) -> None:
    """Mix the pixels of a mask (H, W) with a colour, and draw its rim in it."""
    if not mask.any():
        return
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, pixels = mask[part], picture[part]
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    mixed = pixels * (1 - _MASK_SHARE) + np.array(colour) * _MASK_SHARE
    pixels[inside] = mixed[inside].round().astype(np.uint8)
    pixels[inside & ~core] = colour


def _write(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    words: str,
    box: Sequence[float],
    colour: Colour,
) -> None:
    """Write words on a ground of the colour, above the box or inside it, within the picture."""
    width, height = draw.im.size
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    wide, high = right - left + 4, bottom - top + 4
    x = min(max(box[0], 0), max(width - wide, 0))
    y = box[1] - high if box[1] >= high else box[1]
    y = min(max(y, 0), max(height - high, 0))
    draw.rectangle((x, y, x + wide, y + high), fill=colour, outline=_DARK)
    brightness = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = (0, 0, 0) if brightness > 110 else (255, 255, 255)
    draw.text((x + 2 - left, y + 2 - top), words, fill=ink, font=font)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Load the font that comes with matplotlib, which has more letters than Pillow's."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size)
