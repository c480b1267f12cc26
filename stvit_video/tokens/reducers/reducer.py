"""What every reducer is: fewer tokens, between the attention and the MLP of a block.

Legend: B clips, P class tokens (0 to 2), N tokens before and S after, D width, h heads, d width of
one head.
"""

from typing import NamedTuple

from torch import Tensor, nn

from stvit_video.tokens.token_set import TokenSet


class AttentionInputs(NamedTuple):
    """What the attention of the block computed, for methods that choose by it."""

    queries: Tensor  # (B, h, P + N, d)
    keys: Tensor  # (B, h, P + N, d)


class Reducer(nn.Module):
    """One reduction step: (B, P + N, D) -> (B, P + S, D); the class token goes through."""

    least_tokens: int = 0
    """That it needs, without class tokens."""

    def forward(self, state: TokenSet, attention: AttentionInputs) -> TokenSet:
        """Reduce the tokens of one block."""
        raise NotImplementedError


def gather_tokens(x: Tensor, index: Tensor) -> Tensor:
    """Pick rows: x (B, N, D), index (B, S) -> (B, S, D)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def merge_clusters(
    tokens: Tensor, size: Tensor, cluster: Tensor, num_clusters: int
) -> tuple[Tensor, Tensor]:
    """Average by size: (B, N, D), (B, N, 1), cluster number (B, N) -> (B, S, D), (B, S, 1).

    Every cluster must have a member.
    """
    index = cluster[..., None]  # (B, N, 1)
    total = size.new_zeros(size.shape[0], num_clusters, 1).scatter_add(1, index, size)
    weighted = tokens.new_zeros(tokens.shape[0], num_clusters, tokens.shape[-1])
    weighted = weighted.scatter_add(1, index.expand_as(tokens), tokens * size)
    return weighted / total, total
