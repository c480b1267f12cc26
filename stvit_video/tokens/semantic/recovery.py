"""From semantic tokens back to every patch token: the recovery of STViT-R, and one by clusters.

Legend: B clips, P class tokens (0 or 1), N patch tokens, S semantic tokens, D width.
"""

import torch
from torch import Tensor, nn

from stvit_video.settings.grammar import RecoveryName
from stvit_video.tokens.semantic.generator import Layer
from stvit_video.tokens.token_set import TokenSet, tell_places


def build_recovery(name: RecoveryName) -> "TokenRecovery | NearestRecovery":
    """Make a recovery; `attention` takes a block, `nearest` none."""
    return TokenRecovery() if name == "attention" else NearestRecovery()


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
        where = tell_places(state.places, semantic.places)
        recovered = layer(queries, context=semantic.tokens, mask=semantic.key_bias(), **where)
        return state._replace(tokens=recovered)


class NearestRecovery(nn.Module):
    """Patch tokens, as they were before the clustering, with what blocks added to their cluster.

    What blocks add to a token they would add to its likes: X_i <- X_i + (S_k - S_k before), where
    token i is in cluster k. Class tokens come from the semantic side.
    """

    def forward(
        self, state: TokenSet, start: TokenSet, semantic: TokenSet, nearest: Tensor
    ) -> TokenSet:
        """Recover: (B, P + N, D) of clusters (B, P + S, D), token i in `nearest[i]` (B, N)."""
        cls, after = semantic.split()
        _, before = start.split()
        _, patches = state.split()
        index = nearest[..., None].expand(-1, -1, after.shape[-1])
        patches = patches + (after - before).gather(1, index)
        return state._replace(tokens=torch.cat([cls, patches], dim=1))
