"""The attention pool of VideoPrism: a learned query reads all tokens with heads of their own width.

Legend: B clips, N tokens, D width, W width of all heads together, h heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WideReader(nn.Module):
    """One query, no residual and no MLP; the norm comes last (VideoPrism, arXiv 2402.13217)."""

    def __init__(self, dim: int, *, width: int, num_heads: int, norm_eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        self.q = nn.Linear(dim, width)
        self.kv = nn.Linear(dim, 2 * width)
        self.proj = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim, eps=norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """Read: tokens (B, N, D) -> (B, D)."""
        query = self.q(self.query).expand(tokens.shape[0], -1, -1)
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (query, *self.kv(tokens).chunk(2, dim=-1))
        )
        read = F.scaled_dot_product_attention(q, k, v)  # (B, h, 1, W / h)
        return self.norm(self.proj(read.transpose(1, 2).flatten(1)))
