"""Which tokens fall into which window: index arithmetic on the device, no host synchronisation.

Windows are those of adaptive pooling: window i of k over n tokens is [i*n // k, ceil((i+1)*n / k)).
They tile the axis where k divides n, and overlap by one token where it does not.

Legend: n tokens along an axis, k windows, L tokens in the longest window, S windows of a grid.
"""

import torch
from torch import Tensor

from stvit_video.errors import ConfigError
from stvit_video.tokens.grid import Grid


def window_bounds(length: int, num_windows: int) -> list[tuple[int, int]]:
    """Return start and stop of every window.

    5 tokens in 2 windows: [0, 3) and [2, 5).
    """
    return [
        (i * length // num_windows, -(-(i + 1) * length // num_windows)) for i in range(num_windows)
    ]


def axis_windows(length: int, num_windows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Index every window of one axis: -> token index (k, L), whether it is inside (k, L).

    Windows shorter than L are padded by repeating their last token, marked as outside.
    """
    longest = max(stop - start for start, stop in window_bounds(length, num_windows))
    window = torch.arange(num_windows, device=device)
    starts = window * length // num_windows  # (k,)
    stops = ((window + 1) * length + num_windows - 1) // num_windows  # (k,)
    index = starts[:, None] + torch.arange(longest, device=device)  # (k, L)
    inside = index < stops[:, None]
    return index.minimum(stops[:, None] - 1), inside


def grid_windows(grid: Grid, windows: Grid, device: torch.device) -> tuple[Tensor, Tensor]:
    """Index every window of a grid: -> token index (S, L), whether it is inside (S, L)."""
    (t, in_t), (h, in_h), (w, in_w) = (
        axis_windows(length, num_windows, device)
        for length, num_windows in zip(grid, windows, strict=True)
    )
    t, in_t = t[:, None, None, :, None, None], in_t[:, None, None, :, None, None]
    h, in_h = h[None, :, None, None, :, None], in_h[None, :, None, None, :, None]
    w, in_w = w[None, None, :, None, None, :], in_w[None, None, :, None, None, :]
    index = (t * grid.h + h) * grid.w + w  # (kt, kh, kw, Lt, Lh, Lw)
    inside = in_t & in_h & in_w
    return index.flatten(3).flatten(0, 2), inside.flatten(3).flatten(0, 2)


def check_windows(grid: Grid, windows: Grid) -> None:
    """Refuse more windows than tokens along any axis.

    Raises:
        ConfigError: the semantic grid is larger than the token grid.
    """
    for axis, length, num_windows in zip(("time", "height", "width"), grid, windows, strict=True):
        if num_windows > length:
            raise ConfigError(
                f"semantic grid {windows} is larger than the token grid {grid} along {axis}:"
                f" {num_windows} > {length}; choose at most {length}"
            )
