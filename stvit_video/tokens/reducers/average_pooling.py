"""Average pooling: every window of the grid becomes its mean. Clustering without attention.

Legend: B clips, P class tokens (0 or 1), N tokens before and S after, D width.
"""

import torch

from stvit_video.tokens.grid import Grid, split_class_token
from stvit_video.tokens.reducers.reducer import AttentionInputs, Reducer
from stvit_video.tokens.semantic.pooling import AveragePooling
from stvit_video.tokens.token_set import TokenSet


class WindowAverage(Reducer):
    """Pools to a smaller grid, as the initial centres of the semantic tokens with `pool=avg`."""

    def __init__(self, pooled_grid: Grid) -> None:
        super().__init__()
        self.pooled_grid = pooled_grid
        self.pool = AveragePooling()

    def forward(self, state: TokenSet, attention: AttentionInputs) -> TokenSet:
        """Pool: (B, P + N, D) -> (B, P + S, D) on the pooled grid."""
        cls, patches = split_class_token(state.tokens, state.grid)
        pooled = self.pool(patches, state.grid, self.pooled_grid)
        places = state.move_places(lambda x: self.pool(x, state.grid, self.pooled_grid))
        return TokenSet(torch.cat([cls, pooled], dim=1), self.pooled_grid, None, places)
