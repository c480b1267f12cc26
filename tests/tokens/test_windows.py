import torch

from stvit_video.tokens.grid import Grid, split_class_token
from stvit_video.tokens.windows import axis_windows, grid_windows, window_bounds


def test_windows_tile_an_axis_that_they_divide():
    assert window_bounds(6, 3) == [(0, 2), (2, 4), (4, 6)]


def test_windows_overlap_by_one_where_they_do_not_divide():
    assert window_bounds(5, 2) == [(0, 3), (2, 5)]
    assert window_bounds(7, 4) == [(0, 2), (1, 4), (3, 6), (5, 7)]


def test_short_windows_are_padded_with_their_last_token_and_marked():
    index, inside = axis_windows(7, 4, torch.device("cpu"))
    assert index.tolist() == [[0, 1, 1], [1, 2, 3], [3, 4, 5], [5, 6, 6]]
    assert inside.tolist() == [[True, True, False], [True] * 3, [True] * 3, [True, True, False]]


def test_grid_windows_index_the_flat_grid():
    grid = Grid(2, 3, 5)
    index, inside = grid_windows(grid, Grid(1, 2, 2), torch.device("cpu"))
    cells = torch.arange(grid.size).unflatten(0, grid)
    expected = [
        cells[:, h0:h1, w0:w1].flatten().tolist()
        for h0, h1 in window_bounds(3, 2)
        for w0, w1 in window_bounds(5, 2)
    ]
    assert [row[keep].tolist() for row, keep in zip(index, inside, strict=True)] == expected


def test_class_tokens_lie_ahead_of_the_grid():
    tokens = torch.arange(2 * 7 * 3).reshape(2, 7, 3)
    cls, patches = split_class_token(tokens, Grid(1, 2, 3))
    assert torch.equal(torch.cat([cls, patches], 1), tokens)
    assert cls.shape == (2, 1, 3)
    assert split_class_token(patches, Grid(1, 2, 3))[0].shape == (2, 0, 3)
