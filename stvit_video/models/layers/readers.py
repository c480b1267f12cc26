"""Attention pools that come with their weights: one query reads all tokens, the norm comes last.

Legend: B clips, N tokens with the class tokens ahead, D width, W width of what is read, h heads.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.tokens.token_set import TokenSet, flat_grid


class Reader(nn.Module):
    """What makes one vector of the tokens of a clip."""

    num_features: int
    """Width of the vector."""

    if TYPE_CHECKING:  # torch says that the call of any module returns Any

        def __call__(self, state: TokenSet) -> Tensor:
            """Read: tokens (B, N, D) -> (B, num_features)."""


class WideReader(Reader):
    """A learned query, heads of a width of their own, no residual: VideoPrism (2402.13217)."""

    def __init__(self, dim: int, *, width: int, num_heads: int, norm_eps: float) -> None:
        super().__init__()
        self.num_features, self.num_heads = dim, num_heads
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        self.q = nn.Linear(dim, width)
        self.kv = nn.Linear(dim, 2 * width)
        self.proj = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim, eps=norm_eps)

    def forward(self, state: TokenSet) -> Tensor:
        """Read: tokens (B, N, D) -> (B, D)."""
        query = self.q(self.query).expand(state.tokens.shape[0], -1, -1)
        k, v = self.kv(state.tokens).chunk(2, dim=-1)
        return self.norm(self.proj(_read(query, k, v, self.num_heads, state.key_bias())))


class MeanReader(Reader):
    """The mean of all tokens asks, class tokens among them: InternVideo2 (arXiv 2403.15377).

    Queries, keys and values have a norm each.
    """

    def __init__(self, dim: int, *, num_features: int, num_heads: int) -> None:
        super().__init__()
        self.num_features, self.num_heads = num_features, num_heads
        self.norm_q, self.norm_k, self.norm_v = (nn.LayerNorm(dim, eps=1e-5) for _ in range(3))
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.proj = nn.Linear(dim, num_features)
        self.norm = nn.LayerNorm(num_features, eps=1e-5)

    def forward(self, state: TokenSet) -> Tensor:
        """Read: tokens (B, N, D) -> (B, W)."""
        tokens = state.tokens
        mean = state._replace(grid=flat_grid(tokens.shape[1])).mean()[:, None]  # (B, 1, D)
        q, k, v = (
            self.q(self.norm_q(mean)),
            self.k(self.norm_k(tokens)),
            self.v(self.norm_v(tokens)),
        )
        return self.norm(self.proj(_read(q, k, v, self.num_heads, state.key_bias())))


def _read(q: Tensor, k: Tensor, v: Tensor, num_heads: int, bias: Tensor | None) -> Tensor:
    """Let one query attend: (B, 1, W), keys and values (B, N, W) -> (B, W)."""
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    mask = None if bias is None else bias.to(q.dtype)
    read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, h, 1, W / h)
    return read.transpose(1, 2).flatten(1)
