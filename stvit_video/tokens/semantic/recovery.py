"""Return from semantic tokens to every patch token: the recovery of STViT-R.

Legend: B clips, P class tokens (0 or 1), N patch tokens, S semantic tokens, D width.
"""

import torch
from torch import Tensor, nn

from stvit_video.tokens.grid import Grid, split_class_token
from stvit_video.tokens.semantic.generator import Layer


class TokenRecovery(nn.Module):
    """Patch tokens, as they were before the clustering, read from the semantic tokens.

    X <- MHA(q = X, k = v = S) + X, then the MLP: a block of the backbone with cross-attention.
    Class tokens come from the semantic side, where they went on; they are keys and queries too.
    """

    def forward(
        self,
        tokens: Tensor,
        semantic: Tensor,
        grid: Grid,
        semantic_grid: Grid,
        layer: Layer,
    ) -> Tensor:
        """Recover: tokens (B, P + N, D), semantic (B, P + S, D) -> (B, P + N, D)."""
        _, patches = split_class_token(tokens, grid)
        cls, _ = split_class_token(semantic, semantic_grid)
        return layer(torch.cat([cls, patches], dim=1), context=semantic)
