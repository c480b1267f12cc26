"""Random drop: keep some tokens, chosen by chance. The least that a method has to beat.

Legend: B clips, P class tokens (0 or 1), N tokens before and S after, D width.
"""

import torch
from torch import Tensor

from stvit_video.tokens.grid import split_class_token
from stvit_video.tokens.reducers.reducer import AttentionInputs, Reducer, gather_tokens
from stvit_video.tokens.token_set import TokenSet, flat_grid


class RandomDrop(Reducer):
    """Keeps `num_kept` of `num_tokens` tokens in their order.

    In training every clip and step draws anew; in evaluation one fixed draw serves all, so that
    results repeat.
    """

    kept: Tensor

    def __init__(self, num_tokens: int, num_kept: int, *, seed: int = 0) -> None:
        super().__init__()
        self.num_kept = num_kept
        self.least_tokens = num_tokens  # among which the fixed draw is
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(num_tokens, generator=generator, device="cpu")
        kept = order[:num_kept].sort().values
        self.register_buffer("kept", kept, persistent=False)  # (S,)

    def forward(self, state: TokenSet, attention: AttentionInputs) -> TokenSet:
        """Drop: (B, P + N, D) -> (B, P + S, D)."""
        cls, patches = split_class_token(state.tokens, state.grid)
        if self.training:
            order = torch.rand(patches.shape[:2], device=patches.device).argsort(dim=-1)
            index = order[:, : self.num_kept].sort(dim=-1).values  # (B, S)
        else:
            index = self.kept.to(patches.device).expand(patches.shape[0], -1)
        tokens = torch.cat([cls, gather_tokens(patches, index)], dim=1)
        places = state.move_places(lambda x: gather_tokens(x, index))
        return TokenSet(tokens, flat_grid(self.num_kept), None, places)
