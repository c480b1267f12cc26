"""Colours of tokens, as the colour-blind see them, and who gets which."""

import itertools

import numpy as np
import pytest

from stvit_video.report.token_colours import PALETTE, choose_colours, find_owners, paint

SEEN = {
    "as they are": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""Linear RGB to linear RGB, severity 1.0 (Machado, Oliveira and Fernandes 2009, table 1)."""


def cielab(colours, matrix):
    """sRGB (S, 3) in 0..255, seen through `matrix` -> L*a*b* under D65 (S, 3)."""
    share = np.asarray(colours, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.transpose(matrix)).clip(0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = linear @ np.transpose(to_xyz) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def least_distance(colours, matrix):
    seen = cielab(colours, matrix)
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("matrix", SEEN.values(), ids=SEEN)
def test_all_colours_stay_apart_for_who_sees_fewer(matrix):
    assert least_distance(PALETTE, matrix) > 16
    frame = np.full((1, len(PALETTE), 3), 120, np.uint8)
    for strength, least in ((1.0, 11), (0.5, 8), (0.0, 5)):
        owner = np.arange(len(PALETTE))[:, None, None]
        pixels = [
            paint(frame[:, :1], one, np.full((1, 1), strength, np.float32), PALETTE)[0, 0]
            for one in owner
        ]
        assert least_distance(pixels, matrix) > least


def touching(owner):
    """Pairs of tokens that touch in a frame: (K, h, w) -> set of pairs."""
    sides = [(owner[:, :, 1:], owner[:, :, :-1]), (owner[:, 1:], owner[:, :-1])]
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], 1) for a, b in sides])
    return {tuple(pair) for pair in pairs if pair[0] != pair[1] and (pair >= 0).all()}


@pytest.mark.parametrize("seed", range(5))
def test_tokens_that_touch_have_different_colours_in_every_step(seed):
    """40 tubes around points that drift, as clusters do: far more than there are colours."""
    random = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(np.arange(14), np.arange(14), indexing="ij"), -1)  # (h, w, 2)
    points = random.random((40, 2)) * 14
    steps = []
    for _ in range(6):
        points = points + random.normal(size=(40, 2)) * 0.15
        steps.append(((place[:, :, None] - points) ** 2).sum(-1).argmin(-1))
    owner = np.stack(steps).astype(np.int32)
    colours = choose_colours(owner, 40)
    assert colours.max() < len(PALETTE)
    pairs = touching(owner)
    assert len(pairs) > 100
    assert [pair for pair in pairs if colours[pair[0]] == colours[pair[1]]] == []


def test_a_patch_that_changes_its_token_changes_its_colour():
    row = np.full(15, -1, np.int32)
    row[2::2] = range(1, 8)  # none touches another in a frame
    first, then = row.copy(), row.copy()
    first[0], then[0] = 0, 8
    colours = choose_colours(np.stack([first, then])[:, None], 9)
    assert colours[0] != colours[8]
    assert len(set(colours.tolist())) == 8


@pytest.mark.parametrize("pair", [(2, 5), (0, 8)])
def test_where_all_colours_are_taken_the_shortest_border_is_between_equal_ones(pair):
    """9 tokens, each beside each: two have to share a colour, those that meet once."""
    pairs = list(itertools.combinations(range(9), 2))
    meet = [one for one in pairs for _ in range(1 if one == pair else 3)]
    colours = choose_colours(np.array(meet, np.int32)[:, None], 9)  # (K, 1, 2)
    assert [(a, b) for a, b in pairs if colours[a] == colours[b]] == [pair]


def test_tokens_that_are_not_there_have_a_colour_too():
    colours = choose_colours(np.zeros((1, 2, 2), np.int32), 5)
    assert colours.shape == (5,)


def test_the_owner_reads_most_and_a_patch_that_none_reads_has_none():
    weights = np.zeros((3, 1, 2, 2), np.float32)
    weights[0, 0] = [[0.2, 0.1], [0.3, 0.0]]
    weights[2, 0] = [[0.1, 0.3], [0.2, 0.0]]
    owner, strength = find_owners(weights)
    assert owner.tolist() == [[[0, 2], [0, -1]]]
    np.testing.assert_allclose(strength[0, 0], [0.2 / 0.3, 1])


def test_a_line_parts_tokens_and_who_has_none_stays_grey():
    frame = np.full((4, 6, 3), (10, 20, 60), np.uint8)
    owner = np.repeat([[0, 0, 1, 1, -1, -1]], 4, axis=0).astype(np.int32)
    picture = paint(frame, owner, np.ones((4, 6), np.float32), PALETTE[:2])
    assert picture[2, :, 0].tolist() == [188, 188, 25, 170, 25, 30]
