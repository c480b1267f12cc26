"""What travels through a network: tokens, where they sit, and how many patches each stands for.

Legend: B clips, P class tokens (0 to 2), N tokens, D width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from stvit_video.tokens.grid import Grid, split_class_token


class TokenSet(NamedTuple):
    """Tokens on their way through the blocks of a network."""

    tokens: Tensor
    """(B, P + N, D)."""
    grid: Grid
    """1x1xN once the tokens have left their places."""
    size: Tensor | None = None
    """(B, P + N, 1) patches that each stands for, a class token for one; None where all do."""

    @property
    def num_class_tokens(self) -> int:
        """Tokens ahead of the grid."""
        return self.tokens.shape[1] - self.grid.size

    def split(self) -> tuple[Tensor, Tensor]:
        """Part the class tokens from the others: (B, P, D), (B, N, D)."""
        return split_class_token(self.tokens, self.grid)

    def key_bias(self) -> Tensor | None:
        """Return what attention adds to the scores of each key: log(size), (B, 1, 1, P + N).

        A token then weighs as much as the patches that it stands for would together, and one that
        stands for none is not read (proportional attention of ToMe, arXiv 2210.09461).
        """
        return None if self.size is None else self.size.log().mT[:, None]

    def mean(self) -> Tensor:
        """Average the tokens without the class tokens, by size: (B, D)."""
        _, patches = self.split()
        if self.size is None:
            return patches.mean(dim=1)
        size = self.size[:, self.num_class_tokens :]  # (B, N, 1)
        return ((patches * size).sum(dim=1) / size.sum(dim=1)).to(patches.dtype)


def flat_grid(num_tokens: int) -> Grid:
    """Return the grid of tokens that have no place."""
    return Grid(1, 1, num_tokens)


def token_sizes(state: TokenSet) -> Tensor:
    """Return the sizes, ones where none were tracked yet: (B, P + N, 1)."""
    if state.size is not None:
        return state.size
    return torch.ones_like(state.tokens[..., :1])
