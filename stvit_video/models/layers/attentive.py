"""Attentive pooling: a learned query reads all tokens, as the probes of V-JEPA do.

Legend: B clips, N tokens with the class tokens ahead, D width, h heads.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.models.layers.blocks import Block
from stvit_video.models.layers.branch import Mlp


class AttentivePooler(nn.Module):
    """Blocks in which the tokens read each other, then a block in which a query reads them.

    V-JEPA (arXiv 2404.08471) has the last block alone, V-JEPA 2 (arXiv 2506.09985) three before it.
    """

    def __init__(
        self, dim: int, *, num_heads: int, num_blocks: int, norm_eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.empty(1, 1, dim))
        self.blocks = nn.ModuleList(
            Block(dim, num_heads=num_heads, norm_eps=norm_eps) for _ in range(num_blocks - 1)
        )
        self.cross = QueryBlock(dim, num_heads=num_heads, norm_eps=norm_eps)
        nn.init.trunc_normal_(self.query_tokens, std=0.02)

    def forward(self, tokens: Tensor, key_bias: Tensor | None = None) -> Tensor:
        """Pool: tokens (B, N, D), as `key_bias` (B, 1, 1, N) lets them be read -> (B, D)."""
        for block in self.blocks:
            tokens = block(tokens, mask=key_bias)
        query = self.query_tokens.expand(tokens.shape[0], -1, -1)
        return self.cross(query, tokens, key_bias)[:, 0]


class QueryBlock(nn.Module):
    """Queries read normed tokens and pass through an MLP; their attention has no output layer."""

    def __init__(self, dim: int, *, num_heads: int, norm_eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, 4 * dim, nn.GELU)

    def forward(self, query: Tensor, tokens: Tensor, key_bias: Tensor | None = None) -> Tensor:
        """Read: queries (B, Q, D), tokens (B, N, D) -> (B, Q, D)."""
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.q(query), *self.kv(self.norm1(tokens)).chunk(2, dim=-1))
        )
        mask = None if key_bias is None else key_bias.to(q.dtype)
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, h, Q, d)
        query = query + read.transpose(1, 2).flatten(2)
        return query + self.mlp(self.norm2(query))


def num_pooler_blocks(keys: Iterable[str]) -> int:
    """Count the blocks of an attentive pooler, the one in which the query reads included."""
    own = [key for key in keys if key.startswith("pooler.")]
    before = {key.split(".")[2] for key in own if key.startswith("pooler.blocks.")}
    return len(before) + 1 if own else 0
