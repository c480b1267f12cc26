"""Draw what semantic tokens read: the frames of a clip, and the same frames coloured by token.

Legend: T frames, H W pixels, C colours, S semantic tokens, (t, h, w) patch grid.
"""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from stvit_video.report.plot_look import plot_words
from stvit_video.report.token_colours import PALETTE, choose_colours, find_owners, paint

_MOST_TOLD = 12
"""Tokens in the legend of a picture."""


def draw_clusters(
    frames: NDArray[np.uint8], assignments: NDArray[np.float32], *, title: str
) -> bytes:
    """Draw a clip (T, H, W, 3) and who reads it, weights (S, t, h, w), as a PNG picture.

    The first frame of each of the t time steps is shown; `colour_patches` says in which colours.
    """
    return cluster_figure(frames, {"": assignments}, title=title).png()


class PictureFigure(Figure):
    """A figure of matplotlib that a notebook shows, whether pyplot is there or not."""

    def png(self) -> bytes:
        """Return it as a PNG file."""
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()


def cluster_figure(
    frames: NDArray[np.uint8],
    assignments: Mapping[str, NDArray[np.float32]],
    *,
    title: str = "",
    side: float = 2.3,
    most_steps: int | None = None,
) -> PictureFigure:
    """Draw a clip (T, H, W, 3) and a row for each name, weights (S, t, h, w) on the same grid.

    A picture is `side` inches wide. Of more than `most_steps` time steps, so many are shown, spread
    over the clip.
    """
    num_steps = next(iter(assignments.values())).shape[1]
    every = len(frames) // num_steps
    shown = frames[::every][:num_steps]  # (t, H, W, 3)
    num_drawn = min(num_steps, most_steps or num_steps)
    steps = np.linspace(0, num_steps - 1, num_drawn).round().astype(int)
    titles = [f"frame {step * every + 1}" for step in steps]
    rows = [PictureRow("", list(shown[steps]), titles)]
    rows += [
        PictureRow(name, list(colour_patches(shown, weights)[steps]))
        for name, weights in assignments.items()
    ]
    legend = [
        (colour, f"{name} {words}".strip())
        for name, weights in assignments.items()
        for colour, words in share_words(weights, most=_MOST_TOLD // len(assignments))
    ]
    return row_figure(rows, title=title, side=side, legend=legend)


def share_words(assignments: NDArray[np.float32], *, most: int) -> list[tuple[str, str]]:
    """Tell the largest tokens of weights (S, t, h, w): their colour and their share.

    The share is that of the patches which the token reads most; the others are one line.
    """
    owner, _ = find_owners(assignments)
    colours = PALETTE[choose_colours(owner, len(assignments))]
    shares = 100 * np.bincount(owner[owner >= 0], minlength=len(assignments)) / owner.size
    largest = [int(token) for token in np.argsort(-shares, kind="stable") if shares[token]]
    told = [
        (
            f"#{bytes(colours[token]).hex()}",
            f"token {token + 1}: {shares[token]:.1f} % of the patches",
        )
        for token in largest[:most]
    ]
    rest = largest[most:]
    if rest:
        words = f"{len(rest)} more: {shares[rest].sum():.1f} %"
        told.append(("none", words))
    return told


class PictureRow(NamedTuple):
    """Pictures (H, W, 3) beside each other."""

    name: str
    """On the left."""
    pictures: Sequence[NDArray[np.uint8]]
    titles: Sequence[str] = ()
    """One above each picture, or none."""


def row_figure(
    rows: Sequence[PictureRow],
    *,
    title: str,
    side: float = 1.7,
    legend: Sequence[tuple[str, str]] = (),
) -> PictureFigure:
    """Draw rows of pictures below each other, each picture `side` inches wide.

    Below them stands what colours mean: a colour of matplotlib and its words.
    """
    num_columns = max(len(row.pictures) for row in rows)
    height, width = rows[0].pictures[0].shape[:2]
    tall = side * height / width + 0.1
    size = (
        side * num_columns + 0.3,
        tall * len(rows)
        + 0.2 * sum(bool(r.titles) for r in rows)
        + 0.3
        + 0.22 * -(-len(legend) // 3),
    )
    figure = PictureFigure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(len(rows), num_columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], frame_on=False)
    for row, own in zip(rows, axes, strict=True):
        own[0].set_ylabel(plot_words(row.name), fontsize=9)
        for axis, picture in zip(own, row.pictures, strict=False):
            axis.imshow(picture, interpolation="nearest")
        for axis, words in zip(own, row.titles, strict=False):
            axis.set_title(plot_words(words), fontsize=9)
    if title:
        figure.suptitle(plot_words(title), fontsize=10)
    if legend:
        marks = [Patch(facecolor=colour, edgecolor="0.2") for colour, _ in legend]
        told = [plot_words(text) for _, text in legend]
        figure.legend(marks, told, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def with_few_colours(content: bytes) -> bytes:
    """Write a PNG picture again with a table of 256 colours, a third as large."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(256).save(stream, "png", optimize=True)
    return stream.getvalue()


def colour_patches(
    frames: NDArray[np.uint8], assignments: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Mix frames (t, H, W, 3) with the colours of the tokens (S, t, h, w) -> the same.

    Every patch takes the colour of the semantic token that attends to it most, the stronger the
    closer it comes to what that token attends to most.
    """
    owner, strength = find_owners(assignments)
    colours = PALETTE[choose_colours(owner, len(assignments))]  # (S, 3)
    height, width = (frames.shape[i + 1] // owner.shape[i + 1] for i in (0, 1))
    owners, strengths = (
        values.repeat(height, axis=1).repeat(width, axis=2) for values in (owner, strength)
    )
    return np.stack([paint(*step, colours) for step in zip(frames, owners, strengths, strict=True)])
