"""Rotary positions along time, height and width: what an attention does to queries and keys.

Legend: B clips (1 where all have the same places), N tokens, h heads, d width of one head.
"""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

_BASE = 10000.0


class Turn(Protocol):
    """What makes an attention depend on places."""

    def __call__(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Turn queries or keys (B, h, P + N, d); the last N sit at `places` (B, N, 3)."""
        ...


class Rotary(NamedTuple):
    """Mixes pairs of channels by angles that grow with the place (V-JEPA 2, arXiv 2506.09985).

    Each axis has 2 * (d // 3 // 2) channels; those left over stay as they are. Pairs are
    neighbours.
    """

    head_dim: int
    is_tiled: bool = True
    """Both halves of an axis have the same angles: that is no rotation, and what the weights of
    V-JEPA 2 were trained with. Otherwise both of a pair have, as in V-JEPA 2.1."""

    def __call__(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Turn queries or keys (B, h, N, d), which sit at `places` (B, N, 3) -> (B, h, N, d)."""
        angles = self.angles(places)[:, None]  # (B, 1, N, d)
        cos, sin = angles.cos().to(tokens.dtype), angles.sin().to(tokens.dtype)
        first, second = tokens.unflatten(-1, (-1, 2)).unbind(-1)  # (B, h, N, d / 2)
        turned = torch.stack([-second, first], dim=-1).flatten(-2)
        return torch.addcmul(tokens * cos, turned, sin)

    def angles(self, places: Tensor) -> Tensor:
        """Return the angle of every channel: places (B, N, 3) -> float32 (B, N, d)."""
        num_pairs = self.head_dim // 3 // 2
        step = torch.arange(num_pairs, device=places.device) / num_pairs
        angles = places.float()[..., None] * _BASE**-step  # (B, N, 3, d of an axis / 2)
        both = angles.repeat(1, 1, 1, 2) if self.is_tiled else angles.repeat_interleave(2, dim=-1)
        left_over = self.head_dim - 6 * num_pairs
        return F.pad(both.flatten(2), (0, left_over))
