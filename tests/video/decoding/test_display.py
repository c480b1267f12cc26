import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from av.sidedata.sidedata import Type

from stvit_video.video.decoding.display import Crop, Display, display_of

PICTURES = np.arange(2 * 3 * 5).reshape(2, 3, 5, 1).astype(np.uint8)
MATRICES = [
    (1, 0, 0, 1),
    (0, 1, -1, 0),
    (-1, 0, 0, -1),
    (0, -1, 1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


def _frame(matrix, *, width=5, height=3):
    side_data = {}
    if matrix is not None:
        a, b, c, d = (round(number * 65536) for number in matrix)
        side_data[Type.DISPLAYMATRIX] = struct.pack("=9i", a, b, 0, c, d, 0, 7, 7, 1 << 30)
    return SimpleNamespace(width=width, height=height, side_data=side_data)


def _moved(pictures, matrix):
    """Put each pixel where the matrix says: x' = a x + c y, y' = b x + d y."""
    a, b, c, d = matrix
    rows, columns = np.mgrid[: pictures.shape[1], : pictures.shape[2]]
    across, down = a * columns + c * rows, b * columns + d * rows
    across, down = across - across.min(), down - down.min()
    shape = (len(pictures), down.max() + 1, across.max() + 1, 1)
    moved = np.zeros(shape, dtype=pictures.dtype)
    moved[:, down, across] = pictures
    return moved


@pytest.mark.parametrize("matrix", MATRICES)
def test_pictures_are_shown_as_their_matrix_says(matrix):
    display = display_of(_frame(matrix), Crop())
    expected = _moved(PICTURES, matrix)
    assert np.array_equal(display.show(PICTURES), expected)
    assert torch.equal(display.show(torch.from_numpy(PICTURES)), torch.from_numpy(expected))
    assert display.shown_size == (expected.shape[2], expected.shape[1])
    assert display.is_as_stored == (matrix == (1, 0, 0, 1))


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_scaled_matrix_turns_as_the_plain_one(matrix):
    scaled = tuple(1.5 * number for number in matrix)
    assert display_of(_frame(scaled), Crop()) == display_of(_frame(matrix), Crop())


@pytest.mark.parametrize("matrix", [None, (0.7, 0.7, -0.7, 0.7), (0, 0, 0, 0)])
def test_what_turns_by_no_right_angle_is_not_turned(matrix):
    assert display_of(_frame(matrix), Crop()) == Display(5, 3)


def test_pictures_are_cropped_before_they_are_turned():
    display = display_of(_frame((0, -1, 1, 0)), Crop(left=1, top=0, right=2, bottom=1))
    assert np.array_equal(display.show(PICTURES), np.rot90(PICTURES[:, :2, 1:3], 1, (1, 2)))
    assert display.shown_size == (2, 2)


@pytest.mark.parametrize("crop", [Crop(left=3, right=2), Crop(top=3), Crop(bottom=1 << 40)])
def test_a_crop_that_leaves_nothing_is_none(crop):
    assert display_of(_frame(None), crop) == Display(5, 3)


@pytest.mark.parametrize(
    ("display", "turns"),
    [
        (Display(5, 3, quarter_turns=3), 3),
        (Display(5, 3, is_mirrored=True), 2),
        (Display(5, 3, is_mirrored=True, quarter_turns=1), 3),
    ],
)
def test_a_decoder_without_mirrors_turns_by_the_first_column(display, turns):
    assert display.naive_turns == turns
