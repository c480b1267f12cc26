"""Rotary positions within a frame, as image encoders have them.

Legend: B clips or frames (1 where all have the same places), P class tokens and registers, N
tokens, h heads, d width of one head.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class FrameRotary(NamedTuple):
    """Turns pairs of channels by the place of a patch in its frame.

    Half of the pairs turn with one axis, the others with the other one: pair j of n by
    place * base^(-j / n). What lies ahead of the patches is not turned.
    """

    head_dim: int
    base: float
    axes: tuple[int, int]
    """Axes of places, (t, h, w), in the order in which the pairs read them."""
    neighbours: bool
    """Whether a pair are two channels side by side, or one of each half of the head."""

    def __call__(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Turn queries or keys (B, h, P + N, d); the last N sit at `places` (B, N, 3)."""
        num_ahead = tokens.shape[2] - places.shape[1]
        angles = F.pad(self.angles(places), (0, 0, num_ahead, 0))[:, None]  # (B, 1, P + N, d / 2)
        cos, sin = angles.cos().to(tokens.dtype), angles.sin().to(tokens.dtype)
        if self.neighbours:
            first, second = tokens.unflatten(-1, (-1, 2)).unbind(-1)  # (B, h, P + N, d / 2)
        else:
            first, second = tokens.chunk(2, dim=-1)
        turned = (first * cos - second * sin, second * cos + first * sin)
        return torch.stack(turned, -1).flatten(-2) if self.neighbours else torch.cat(turned, -1)

    def angles(self, places: Tensor) -> Tensor:
        """Return the angle of every pair: places (B, N, 3) -> float32 (B, N, d / 2)."""
        num_pairs = self.head_dim // 4
        step = torch.arange(num_pairs, device=places.device) / num_pairs
        in_order = torch.stack([places[..., axis] for axis in self.axes], dim=-1)  # (B, N, 2)
        return (in_order.float()[..., None] * self.base**-step).flatten(2)
