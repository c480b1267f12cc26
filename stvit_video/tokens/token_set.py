"""What travels through a network: tokens, where they sit, and how many patches each stands for.

Legend: B clips, P class tokens (0 to 2), N tokens, D width.
"""

from collections.abc import Callable, Sequence
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
    places: Tensor | None = None
    """float32 (B, N, 3), or (1, N, 3) where all clips have the same: where each sits along time,
    height and width, in steps of the patch grid or as the network counts them. For networks whose
    attention reads it, None in others; class tokens have no place."""

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

    def where(self) -> dict[str, "Places"]:
        """Return the argument by which a block is told where its tokens sit, if they do."""
        return tell_places(self.places, self.places)

    def unstack(self, num_sets: int) -> list["TokenSet"]:
        """Part the sets of a batch that belong together: (B*V, N, D) -> V times (B, N, D)."""
        parts = self.tokens.unflatten(0, (-1, num_sets)).unbind(1)
        sizes = [None] * num_sets
        if self.size is not None:
            sizes = list(self.size.unflatten(0, (-1, num_sets)).unbind(1))
        return [TokenSet(part, self.grid, size) for part, size in zip(parts, sizes, strict=True)]

    def move_places(self, move: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Do with the places (B, N, 3) what is done with the tokens; None where there are none."""
        if self.places is None:
            return None
        return move(self.places.expand(self.tokens.shape[0], -1, -1))

    def mean(self) -> Tensor:
        """Average the tokens without the class tokens, by size: (B, D)."""
        _, patches = self.split()
        if self.size is None:
            return patches.mean(dim=1)
        size = self.size[:, self.num_class_tokens :]  # (B, N, 1)
        return ((patches * size).sum(dim=1) / size.sum(dim=1)).to(patches.dtype)


class Places(NamedTuple):
    """Where queries and keys sit, see `TokenSet.places`."""

    queries: Tensor
    """float32 (B, N, 3)."""
    keys: Tensor
    """float32 (B, M, 3)."""


def tell_places(queries: Tensor | None, keys: Tensor | None) -> dict[str, Places]:
    """Return the argument by which a block is told places; none where there are no places."""
    return {} if queries is None or keys is None else {"places": Places(queries, keys)}


def flat_grid(num_tokens: int) -> Grid:
    """Return the grid of tokens that have no place."""
    return Grid(1, 1, num_tokens)


def join_sets(sets: Sequence[TokenSet]) -> TokenSet:
    """Put the tokens of several sets behind each other: (B, P + N, D) each, without places."""
    size = None
    if any(state.size is not None for state in sets):
        size = torch.cat([token_sizes(state) for state in sets], dim=1)
    tokens = torch.cat([state.tokens for state in sets], dim=1)
    return TokenSet(tokens, flat_grid(tokens.shape[1]), size)


def token_sizes(state: TokenSet) -> Tensor:
    """Return the sizes, ones where none were tracked yet: (B, P + N, 1)."""
    if state.size is not None:
        return state.size
    return torch.ones_like(state.tokens[..., :1])
