"""Token Merging (ToMe, arXiv 2210.09461): the r most similar pairs of two halves become one.

Legend: B clips, P class tokens (2 with a distillation token), N tokens, r pairs that merge, D
width.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stvit_video.errors import ConfigError
from stvit_video.tokens.reducers.reducer import AttentionInputs, Reducer, gather_tokens
from stvit_video.tokens.token_set import TokenSet, flat_grid, token_sizes

Schedule = Literal["constant", "decreasing"]


class Matching(NamedTuple):
    """Which even tokens stay, which go, and into which odd token; indices within each half."""

    unmerged: Tensor  # (B, N_even - r)
    source: Tensor  # (B, r)
    target: Tensor  # (B, r)
    num_class_tokens: int


@torch.no_grad()
def match_tokens(metric: Tensor, r: int, *, num_class_tokens: int) -> Matching:
    """Match every even token to its most similar odd one and keep the r best pairs.

    Similarity is the cosine of `metric` (B, N, C). At most half of the tokens merge; the class
    token (the first, even) never does, and nothing merges into a distillation token (the second,
    odd). With a class token the unmerged stay in their order; without one they come by falling
    similarity, as published.
    """
    metric = metric / metric.norm(dim=-1, keepdim=True)
    even, odd = metric[:, ::2], metric[:, 1::2]
    scores = even @ odd.transpose(-1, -2)  # (B, N_even, N_odd)
    if num_class_tokens > 0:
        is_class = torch.arange(scores.shape[1], device=scores.device)[:, None] == 0
        scores = scores.masked_fill(is_class, -torch.inf)
    if num_class_tokens > 1:
        is_distillation = torch.arange(scores.shape[2], device=scores.device) == 0
        scores = scores.masked_fill(is_distillation, -torch.inf)
    best, partner = scores.max(dim=-1)  # (B, N_even)
    order = best.argsort(dim=-1, descending=True)
    r = max_merges(metric.shape[1], r, num_class_tokens=num_class_tokens)
    source, unmerged = order[:, :r], order[:, r:]
    if num_class_tokens:
        unmerged = unmerged.sort(dim=-1).values
    return Matching(unmerged, source, partner.gather(1, source), num_class_tokens)


def max_merges(num_tokens: int, r: int, *, num_class_tokens: int) -> int:
    """Return how many of `r` pairs can merge: at most half of the unprotected tokens."""
    return max(min(r, (num_tokens - num_class_tokens) // 2), 0)


def merge_tokens(x: Tensor, matching: Matching, *, reduce: Literal["sum", "mean"]) -> Tensor:
    """Merge (B, N, D) -> (B, N - r, D): class tokens, the unmerged even tokens, all odd ones."""
    even, odd = x[:, ::2], x[:, 1::2]
    source = gather_tokens(even, matching.source)  # (B, r, D)
    target = matching.target[..., None].expand_as(source)
    merged = odd.scatter_reduce(1, target, source, reduce=reduce)
    kept = gather_tokens(even, matching.unmerged)
    if matching.num_class_tokens > 1:
        return torch.cat([kept[:, :1], merged[:, :1], kept[:, 1:], merged[:, 1:]], dim=1)
    return torch.cat([kept, merged], dim=1)


def merge_by_size(x: Tensor, size: Tensor, matching: Matching) -> tuple[Tensor, Tensor]:
    """Average by size: x (B, N, D), size (B, N, 1) -> (B, N - r, D), (B, N - r, 1)."""
    x = merge_tokens(x * size, matching, reduce="sum")
    size = merge_tokens(size, matching, reduce="sum")
    return x / size, size


def merge_schedule(r: int, depth: int, schedule: Schedule) -> list[int]:
    """Pairs that merge in every block: `r` in each, or falling from 2r to 0 with the same sum.

    r = 8 over 5 blocks, decreasing: 16, 12, 8, 4, 0.
    """
    if r < 1:
        raise ConfigError(f"tome r ({r}) must be at least 1")
    if schedule == "constant" or depth == 1:
        return [r] * depth
    return [int(2 * r - 2 * r * i / (depth - 1)) for i in range(depth)]


class TokenMerging(Reducer):
    """Merges `r` pairs by the similarity of their keys, averaged over heads."""

    def __init__(self, r: int) -> None:
        super().__init__()
        self.r = r

    def forward(self, state: TokenSet, attention: AttentionInputs) -> TokenSet:
        """Merge: (B, P + N, D) -> (B, P + N - r, D), sizes tracked."""
        num_class_tokens = state.tokens.shape[1] - state.grid.size
        matching = match_tokens(
            attention.keys.mean(dim=1), self.r, num_class_tokens=num_class_tokens
        )
        tokens, size = merge_by_size(state.tokens, token_sizes(state), matching)

        def merge_places(x: Tensor) -> Tensor:  # class tokens have no place
            ahead = F.pad(x, (0, 0, num_class_tokens, 0))
            return merge_by_size(ahead, token_sizes(state), matching)[0][:, num_class_tokens:]

        places = state.move_places(merge_places)
        return TokenSet(tokens, flat_grid(tokens.shape[1] - num_class_tokens), size, places)
