"""Where tokens sit: the grid that travels with them, and the class tokens ahead of it.

Legend: B clips, P class tokens (0 or 1), (t, h, w) grid, N = t*h*w tokens, D width.
"""

from typing import NamedTuple

from torch import Tensor


class Grid(NamedTuple):
    """Token counts along time, height and width."""

    t: int
    h: int
    w: int

    @property
    def size(self) -> int:
        """Tokens in the grid."""
        return self.t * self.h * self.w

    def __str__(self) -> str:
        """Write as settings do: `8x4x4`."""
        return f"{self.t}x{self.h}x{self.w}"


def split_class_token(tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Part what lies ahead of the grid: (B, P + N, D) -> (B, P, D), (B, N, D)."""
    num_class_tokens = tokens.shape[1] - grid.size
    return tokens[:, :num_class_tokens], tokens[:, num_class_tokens:]
