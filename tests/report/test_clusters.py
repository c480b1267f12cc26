import io

import numpy as np
import pytest
from PIL import Image

from stvit_video.report.clusters import colour_patches, draw_clusters, token_colours

FRAMES = np.full((2, 6, 8, 3), 100, np.uint8)


def assignments():
    """5 tokens over a 2x3x2 grid: token 4 owns patch (1, 2, 0), token 0 all the others."""
    weights = np.zeros((5, 2, 3, 2), np.float32)
    weights[0] = 0.1
    weights[4, 1, 2, 0] = 0.4
    return weights


def test_each_patch_takes_the_colour_of_its_token():
    picture = colour_patches(FRAMES, assignments())
    assert picture.shape == (2, 6, 8, 3)
    patch = picture[1, 4:6, 0:4]
    colour = token_colours(5)[4]
    np.testing.assert_allclose(patch, np.broadcast_to(patch[0, 0], patch.shape))
    grey = np.full(3, 100 / 255)
    alpha = (patch[0, 0] - grey) / (colour - grey)
    np.testing.assert_allclose(alpha, np.full(3, 0.65), rtol=1e-4)  # where its attention is largest
    assert len(np.unique(picture.reshape(-1, 3).round(5), axis=0)) == 2


def test_a_large_cluster_is_as_strong_as_a_small_one():
    weights = np.zeros((2, 2, 3, 2), np.float32)
    weights[0], weights[0, 1, 2, 0] = 1 / 11, 0
    weights[1, 1, 2, 0] = 1
    picture = colour_patches(FRAMES, weights)
    for token, pixel in enumerate((picture[0, 0, 0], picture[1, 5, 0])):
        expected = 0.35 * 100 / 255 + 0.65 * token_colours(2)[token]
        np.testing.assert_allclose(pixel, expected, rtol=1e-4)


def test_what_a_token_attends_to_less_is_paler():
    weights = np.zeros((3, 1, 3, 2), np.float32)  # token 2 is in no patch
    weights[0] = [[[0.4, 0.2], [0.1, 0.1], [0.1, 0.1]]]
    picture = colour_patches(FRAMES[:1], weights)
    colour = token_colours(3)[0]
    for pixel, alpha in ((picture[0, 0, 0], 0.65), (picture[0, 0, 7], 0.4)):
        expected = (1 - alpha) * 100 / 255 + alpha * colour
        np.testing.assert_allclose(pixel, expected, rtol=1e-4)


@pytest.mark.parametrize("num_tokens", [1, 16, 20, 64])
def test_tokens_have_different_colours(num_tokens):
    colours = token_colours(num_tokens)
    assert len(np.unique(colours.round(3), axis=0)) == num_tokens


def test_the_picture_is_a_png_with_a_column_for_each_step_of_time():
    frames = np.zeros((4, 6, 8, 3), np.uint8)
    sizes = []
    for weights in (assignments(), np.concatenate([assignments()] * 2, axis=1)):
        content = draw_clusters(frames, weights, title="two steps")
        sizes.append(Image.open(io.BytesIO(content)).size)
    assert sizes[1][0] - sizes[0][0] == pytest.approx(2 * 1.7 * 110, abs=2)
