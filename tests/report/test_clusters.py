import io

import numpy as np
import pytest
from PIL import Image

from stvit_video.report.clusters import colour_patches, draw_clusters, share_words
from stvit_video.report.token_colours import PALETTE, STRONGEST

FRAMES = np.full((2, 6, 8, 3), 100, np.uint8)


def assignments():
    """5 tokens over a 2x3x2 grid: token 4 owns patch (1, 2, 0), token 0 all the others."""
    weights = np.zeros((5, 2, 3, 2), np.float32)
    weights[0] = 0.1
    weights[4, 1, 2, 0] = 0.4
    return weights


def mixed(colour, alpha):
    """Grey 100 under a colour."""
    return (100 * (1 - alpha) + colour * alpha).round()


def test_each_patch_takes_the_colour_of_its_token():
    picture = colour_patches(FRAMES, assignments())
    assert picture.shape == (2, 6, 8, 3)
    colours = np.unique(picture.reshape(-1, 3), axis=0)
    assert len(colours) == 3, "two tokens and the line between them"
    inside = picture[1, 5, 1:4]
    assert (inside == inside[0]).all()
    assert any((inside[0] == mixed(colour, STRONGEST)).all() for colour in PALETTE)
    assert (picture[1, 5, 7] != inside[0]).any()


def test_a_large_cluster_is_as_strong_as_a_small_one():
    weights = np.zeros((2, 2, 3, 2), np.float32)
    weights[0], weights[0, 1, 2, 0] = 1 / 11, 0
    weights[1, 1, 2, 0] = 1
    picture = colour_patches(FRAMES, weights)
    assert (picture[0, 0, 0] == mixed(PALETTE[0], STRONGEST)).all()
    assert (picture[1, 5, 1] == mixed(PALETTE[1], STRONGEST)).all()


def test_what_a_token_attends_to_less_is_paler():
    weights = np.zeros((3, 1, 3, 2), np.float32)  # token 2 is in no patch
    weights[0] = [[[0.4, 0.2], [0.1, 0.1], [0.1, 0.1]]]
    picture = colour_patches(FRAMES[:1], weights)
    for pixel, alpha in ((picture[0, 0, 0], 0.7), (picture[0, 0, 7], 0.525)):
        assert (pixel == mixed(PALETTE[0], alpha)).all()


def test_the_picture_is_a_png_with_a_column_for_each_step_of_time():
    frames = np.zeros((4, 6, 8, 3), np.uint8)
    sizes = []
    for weights in (assignments(), np.concatenate([assignments()] * 2, axis=1)):
        content = draw_clusters(frames, weights, title="two steps")
        sizes.append(Image.open(io.BytesIO(content)).size)
    assert sizes[1][0] - sizes[0][0] == pytest.approx(2 * 2.3 * 110, abs=2)


def test_the_legend_tells_the_share_of_each_token_and_joins_the_small_ones():
    weights = assignments()
    weights[2, 0, 0, 0] = 0.5
    told = share_words(weights, most=2)
    assert [words for _, words in told] == [
        "token 1: 83.3 % of the patches",
        "token 3: 8.3 % of the patches",
        "1 more: 8.3 %",
    ]
    assert told[0][0] != told[1][0]
