import math

import pytest
import torch
import torch.nn.functional as F

from stvit_video.errors import ConfigError
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.pooling import LearnedPooling, _convolve, build_pooling

EVEN = (Grid(2, 6, 4), Grid(1, 3, 2))
UNEVEN = (Grid(5, 7, 3), Grid(2, 3, 2))


def volume_of(tokens, grid):
    return tokens.transpose(1, 2).unflatten(2, grid)


@pytest.mark.parametrize(("grid", "semantic_grid"), [EVEN, UNEVEN])
@pytest.mark.parametrize(
    ("name", "reference"), [("max", F.adaptive_max_pool3d), ("avg", F.adaptive_avg_pool3d)]
)
def test_pooling_equals_adaptive_pooling(name, reference, grid, semantic_grid):
    tokens = torch.randn(2, grid.size, 11)
    pooled = build_pooling(name, 11)(tokens, grid, semantic_grid)
    expected = reference(volume_of(tokens, grid), semantic_grid).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize(("grid", "semantic_grid"), [EVEN, UNEVEN])
def test_learned_pooling_without_mask_and_offset_is_the_average(grid, semantic_grid):
    tokens = torch.randn(2, grid.size, 5)
    learned = LearnedPooling(5)
    torch.nn.init.zeros_(learned.pointwise.weight)
    average = build_pooling("avg", 5)(tokens, grid, semantic_grid)
    torch.testing.assert_close(learned(tokens, grid, semantic_grid), average, rtol=1e-4, atol=1e-5)


def test_the_mask_weighs_the_tokens_of_a_window():
    grid, semantic_grid = Grid(1, 2, 3), Grid(1, 2, 1)
    tokens = torch.randn(1, grid.size, 5)
    learned = _only_predicts(channel=0)
    logits = _hidden(learned, tokens, grid) @ learned.pointwise.weight[0]
    rows = logits.unflatten(1, (2, 3)).softmax(-1)
    expected = (rows[..., None] * tokens.unflatten(1, (2, 3))).sum(2)
    torch.testing.assert_close(learned(tokens, grid, semantic_grid), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("axis", "shift"), [(0, (1, 0, 0)), (1, (0, 1, 0)), (2, (0, 0, 1))])
def test_an_offset_moves_a_centre_by_up_to_one_window_along_its_axis(axis, shift):
    # Every window is one token, so an offset of tanh(atanh(1/2)) = half a window is half a token.
    grid = Grid(3, 4, 5)
    ramp = torch.stack(torch.meshgrid(*[torch.arange(n) for n in grid], indexing="ij"), -1)
    tokens = ramp.float().flatten(0, 2)[None]
    learned = LearnedPooling(3)
    torch.nn.init.zeros_(learned.pointwise.weight)
    with torch.no_grad():
        learned.pointwise.bias[1 + axis] = math.atanh(0.5)
    moved = learned(tokens, grid, grid).unflatten(1, grid)[0]
    inner = moved[1:-1, 1:-1, 1:-1]
    expected = (ramp.float() + 0.5 * torch.tensor(shift))[1:-1, 1:-1, 1:-1]
    torch.testing.assert_close(inner, expected)


def test_tokens_may_change_places_inside_a_window_but_not_between_windows():
    grid, semantic_grid = Grid(2, 2, 4), Grid(1, 1, 2)
    tokens = torch.randn(1, grid.size, 7)
    for name in ("max", "avg"):
        pool = build_pooling(name, 7)
        swapped_inside = tokens.unflatten(1, grid).flip(1).flatten(1, 3)
        torch.testing.assert_close(
            pool(swapped_inside, grid, semantic_grid), pool(tokens, grid, semantic_grid)
        )
        swapped_between = tokens.unflatten(1, grid).flip(3).flatten(1, 3)
        torch.testing.assert_close(
            pool(swapped_between, grid, semantic_grid),
            pool(tokens, grid, semantic_grid).flip(1),
        )


@pytest.mark.parametrize("name", ["max", "avg", "learned"])
def test_more_windows_than_tokens_is_an_error(name):
    with pytest.raises(ConfigError) as error:
        build_pooling(name, 3)(torch.randn(1, 30, 3), Grid(2, 3, 5), Grid(2, 4, 5))
    assert str(error.value) == (
        "semantic grid 2x4x5 is larger than the token grid 2x3x5 along height: 4 > 3;"
        " choose at most 3"
    )


def _only_predicts(channel):
    learned = LearnedPooling(5)
    with torch.no_grad():
        learned.pointwise.weight[torch.arange(4) != channel] = 0
        learned.pointwise.weight[channel] *= 50
    return learned


def _hidden(learned, tokens, grid):
    hidden = learned.depthwise(volume_of(tokens, grid)).flatten(2).transpose(1, 2)
    return F.gelu(learned.norm(hidden))


@pytest.mark.parametrize("grid", [(1, 2, 3), (4, 5, 3)])
def test_the_convolution_of_learned_pooling_is_that_of_torch(grid):
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(6, 6, kernel_size=3, padding=1, groups=6)
    volume = torch.randn(2, *grid, 6)
    torch.testing.assert_close(
        _convolve(volume, conv), conv(volume.movedim(-1, 1)).movedim(1, -1), rtol=1e-5, atol=1e-6
    )
