"""Return from semantic tokens to every patch token: the recovery of STViT-R.

Legend: B clips, P class tokens (0 or 1), N patch tokens, S semantic tokens, D width.
"""

import torch
from torch import nn

from stvit_video.tokens.semantic.generator import Layer
from stvit_video.tokens.token_set import TokenSet


class TokenRecovery(nn.Module):
    """Patch tokens, as they were before the clustering, read from the semantic tokens.

    X <- MHA(q = X, k = v = S) + X, then the MLP: a block of the backbone with cross-attention.
    Class tokens come from the semantic side, where they went on; they are keys and queries too.
    """

    def forward(self, state: TokenSet, semantic: TokenSet, layer: Layer) -> TokenSet:
        """Recover: state (B, P + N, D), semantic (B, P + S, D) -> (B, P + N, D)."""
        _, patches = state.split()
        cls, _ = semantic.split()
        queries = torch.cat([cls, patches], dim=1)
        recovered = layer(queries, context=semantic.tokens, mask=semantic.key_bias())
        return state._replace(tokens=recovered)
