"""EViT (arXiv 2202.07800): keep what the class token attends to, fuse the rest into one token.

Legend: B clips, N tokens before and S kept, D width, h heads, d width of one head.
"""

import torch
from torch import Tensor

from stvit_video.tokens.reducers.reducer import AttentionInputs, Reducer, gather_tokens
from stvit_video.tokens.token_set import TokenSet, flat_grid


def class_attention(queries: Tensor, keys: Tensor) -> Tensor:
    """Return what the class token reads of each other token, mean over heads.

    queries and keys (B, h, 1 + N, d) -> (B, N).
    """
    scores = queries[:, :, :1] @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    return scores.softmax(dim=-1)[:, :, 0, 1:].mean(dim=1)


class ClassAttentionTopK(Reducer):
    """Keeps `num_kept` tokens by falling class attention, and one fused of all others.

    The fused token is the sum of the others weighted by their class attention, as published:
    the weights are not brought to sum 1.
    """

    def __init__(self, num_kept: int) -> None:
        super().__init__()
        self.num_kept = self.least_tokens = num_kept

    def forward(self, state: TokenSet, attention: AttentionInputs) -> TokenSet:
        """Keep: (B, 1 + N, D) -> (B, 1 + S + 1, D)."""
        weight = class_attention(attention.queries, attention.keys)  # (B, N)
        cls, patches = state.tokens[:, :1], state.tokens[:, 1:]
        order = weight.argsort(dim=-1, descending=True)
        kept, rest = order.split([self.num_kept, order.shape[1] - self.num_kept], dim=1)
        rest_weight = weight.gather(1, rest)[..., None]  # (B, N - S, 1)
        fused = (gather_tokens(patches, rest) * rest_weight).sum(dim=1, keepdim=True)  # (B, 1, D)
        tokens = torch.cat([cls, gather_tokens(patches, kept), fused], dim=1)

        def move(x: Tensor) -> Tensor:  # the fused token sits in the weighted middle of the others
            middle = (gather_tokens(x, rest) * rest_weight).sum(dim=1, keepdim=True)
            middle = middle / rest_weight.sum(dim=1, keepdim=True)
            return torch.cat([gather_tokens(x, kept), middle], dim=1)

        return TokenSet(tokens, flat_grid(self.num_kept + 1), None, state.move_places(move))
