"""Windows, regions and position bias against slow loops over tokens."""

import itertools

import pytest
import torch

from stvit_video.models.families.swin.attention import WindowPlan
from stvit_video.models.families.swin.block import PlacedLayer, SwinBlock
from stvit_video.models.families.swin.cross import CrossWindows, Reach
from stvit_video.models.families.swin.relative_bias import (
    AxisPlaces,
    interpolated_bias,
    window_bias,
)
from stvit_video.models.families.swin.windows import (
    fit_window,
    merge_windows,
    shift_regions,
    split_windows,
)
from stvit_video.tokens.grid import Grid

GRID, WINDOW, SHIFT = Grid(3, 5, 7), (2, 3, 2), (1, 1, 0)


def token_at(t, h, w, grid=GRID):
    return (t * grid.h + h) * grid.w + w


@pytest.mark.parametrize("shift", [(0, 0, 0), SHIFT])
def test_merging_undoes_splitting_on_a_grid_that_windows_do_not_divide(shift):
    tokens = torch.randn(2, GRID.size, 3)
    windows = split_windows(tokens, GRID, WINDOW, shift)
    assert windows.shape == (2, 2 * 2 * 4, 2 * 3 * 2, 3)
    assert torch.equal(merge_windows(windows, GRID, WINDOW, shift), tokens)


def test_a_shifted_window_begins_later_and_ends_with_what_was_pushed_out():
    tokens = torch.arange(1.0, GRID.size + 1).view(1, -1, 1)
    windows = split_windows(tokens, GRID, WINDOW, SHIFT)[0, :, :, 0]
    first = [token_at(t, h, w) + 1 for t, h, w in itertools.product((1, 2), (1, 2, 3), (0, 1))]
    assert windows[0].tolist() == first
    # the padded grid is 4 x 6 x 8: the last window holds frames 3 (padding) and 0, rows 4, 5, 0
    rows = [(3, 4), (3, 5), (3, 0), (0, 4), (0, 5), (0, 0)]
    last = [
        token_at(t, h, w) + 1 if t < 3 and h < 5 and w < 7 else 0
        for (t, h), w in itertools.product(rows, (6, 7))
    ]
    assert windows[-1].tolist() == last


def test_regions_part_tokens_that_only_the_shift_brings_together():
    region = shift_regions(GRID, WINDOW, SHIFT, torch.device("cpu"))
    padded = Grid(4, 6, 8)
    places = torch.arange(padded.size).view(1, -1, 1).float()
    windows = split_windows(places, padded, WINDOW, SHIFT)[0, :, :, 0].long()
    for window, numbers in zip(windows.tolist(), region.tolist(), strict=True):
        for (i, a), (j, b) in itertools.combinations(enumerate(window), 2):
            far = any(
                abs(x - y) >= size
                for x, y, size in (
                    (a // 48, b // 48, 2),
                    (a // 8 % 6, b // 8 % 6, 3),
                    (a % 8, b % 8, 2),
                )
            )
            assert (numbers[i] != numbers[j]) == far


def test_a_window_shrinks_to_a_small_grid_and_does_not_shift_there():
    assert fit_window(Grid(2, 7, 8), (8, 7, 7), (4, 3, 3)) == ((2, 7, 7), (0, 0, 3))


def test_the_bias_of_two_tokens_is_the_table_entry_of_their_offset():
    window = (2, 3, 2)
    table = torch.randn(3 * 5 * 3, 4)
    bias = window_bias(table, window, window)
    tokens = list(itertools.product(range(2), range(3), range(2)))
    for (i, a), (j, b) in itertools.product(enumerate(tokens), repeat=2):
        t, h, w = (x - y + n - 1 for x, y, n in zip(a, b, window, strict=True))
        assert torch.equal(bias[:, i, j], table[(t * 5 + h) * 3 + w])
    assert bias.stride(-1) == 1  # or fused attention refuses it
    first_frame = window_bias(table, window, (1, 3, 2))
    assert torch.equal(first_frame, bias[:, :6, :6])


def test_places_between_tokens_interpolate_the_table_and_far_ones_read_its_end():
    window = (1, 3, 2)
    table = torch.randn(5 * 3, 2)
    zero = torch.zeros(1, 1)
    places = [
        AxisPlaces(zero, zero),
        AxisPlaces(torch.tensor([[0.0, 1.25]]), torch.tensor([[0.0, 9.0]])),
        AxisPlaces(torch.tensor([[0.5]]), zero),
    ]
    bias = interpolated_bias(table, window, places)
    assert bias.shape == (1, 2, 2, 2)
    square = table.view(5, 3, 2)
    between = (square[3] * 0.75 + square[4] * 0.25)[1:].mean(dim=0)  # 1.25 down, 0.5 right
    torch.testing.assert_close(bias[0, :, 1, 0], between)
    torch.testing.assert_close(bias[0, :, 0, 1], square[0, 1:].mean(dim=0))  # 9 up: 2 at most
    whole = [AxisPlaces(x, x) for x in (zero, torch.arange(3.0)[None], torch.arange(2.0)[None])]
    torch.testing.assert_close(
        interpolated_bias(table, window, whole)[0], window_bias(table, window, window)
    )


def test_windows_of_keys_are_those_of_the_release_on_14_and_stay_inside_any_grid():
    def starts(length, semantic):
        windows = CrossWindows(
            Grid(1, semantic, semantic),
            Grid(1, length, length),
            Reach((None, 3, 3), (None, 10, 10)),
        )
        keys = windows.split_context(torch.arange(length**2.0).view(1, 1, -1, 1))
        return keys[0, :, 0, 0].long().tolist()

    assert starts(14, 6) == [14 * a + b for a, b in itertools.product((0, 4), (0, 4))]
    assert starts(28, 12) == [28 * a + b for a, b in itertools.product((0, 6, 13, 18), repeat=2)]


def test_every_query_reads_the_keys_of_its_window_and_weights_return_to_their_place():
    windows = CrossWindows(Grid(1, 4, 2), Grid(1, 6, 3), Reach((None, 2, 2), (None, 4, 3)))
    keys = windows.split_context(torch.arange(18.0).view(1, 1, -1, 1))  # (1, W, K, 1)
    assert keys[0, :, :, 0].tolist() == [list(range(12)), list(range(6, 18))]
    weights = torch.rand(1, 2, 4, 12)
    whole = windows.scatter(weights)
    assert torch.equal(whole[:, :4, :12], weights[:, 0])
    assert torch.equal(whole[:, 4:, 6:], weights[:, 1])
    assert not whole[:, :4, 12:].any()
    assert not whole[:, 4:, :6].any()


@pytest.mark.parametrize(
    ("grid", "context", "query_places", "key_places"),
    [
        (Grid(1, 2, 1), Grid(1, 6, 1), [1.0, 4.0], [0, 1, 2, 3, 4, 5]),
        (Grid(1, 6, 1), Grid(1, 2, 1), [0, 1, 2, 3, 4, 5], [1.0, 4.0]),
        (Grid(1, 2, 1), Grid(1, 3, 1), [0.25, 1.75], [0, 1, 2]),
    ],
    ids=["centres read patches", "patches read centres", "uneven"],
)
def test_centres_sit_in_the_middle_of_their_patches(grid, context, query_places, key_places):
    window = (1, 9, 1)
    table = torch.arange(-8.0, 9.0).view(-1, 1)  # the bias of an offset is the offset
    windows = CrossWindows(grid, context, Reach())
    bias = windows.bias(
        lambda places: interpolated_bias(table, window, places),
        torch.device("cpu"),
        has_centers=True,
    )
    queries, keys = torch.tensor(query_places), torch.tensor([*query_places, *key_places])
    torch.testing.assert_close(bias, (queries[:, None] - keys)[None].float())


@pytest.mark.parametrize("reach", [Reach(), Reach((None, 2, 2), (None, 4, 3))], ids=["all", "near"])
def test_masked_keys_are_read_in_no_window_and_own_centres_always(reach):
    grid, context_grid, masked = Grid(1, 4, 2), Grid(1, 6, 3), [4, 17]
    plan = WindowPlan(window=(1, 2, 2), table=(1, 2, 2), reach=reach, reads_queries=True)
    block = SwinBlock(4, num_heads=2, plan=plan)
    with torch.no_grad():
        for parameter in (*block.attn.parameters(), *block.mlp.fc2.parameters()):
            parameter.zero_()
        block.attn.qkv.weight[8:] = torch.eye(4)  # values are the keys, and all scores are equal
        block.attn.proj.weight.copy_(torch.eye(4))
    queries, context = torch.randn(1, 8, 4), torch.randn(1, 18, 4)
    mask = torch.ones(1, 1, 1, 18, dtype=torch.bool)
    mask[..., masked] = False
    expected, means = torch.zeros(8, 18), torch.zeros(8, 4)
    for i in range(8):
        own, patches = range(8), range(18)
        if reach != Reach():
            own, patches = (range(4), range(12)) if i < 4 else (range(4, 8), range(6, 18))
        read = [j for j in patches if j not in masked]
        expected[i, read] = 1 / (len(own) + len(read))
        tokens = torch.cat([queries[0, list(own)], context[0, read]])
        means[i] = torch.nn.functional.layer_norm(tokens, (4,)).mean(dim=0)
    layer = PlacedLayer(block, grid, context_grid)
    with torch.no_grad():
        torch.testing.assert_close(layer.attention_weights(queries, context, mask)[0], expected)
        attended = layer(queries, context=context, mask=mask, shortcut=False)[0]
    torch.testing.assert_close(attended, means)
