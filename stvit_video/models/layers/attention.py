"""Multi-head attention between two sets of tokens.

Legend: B clips, N query tokens, M key tokens, D width, h heads, d width of one head, t frames of
n tokens.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.linear import linear_rows
from stvit_video.models.layers.rotary import Turn
from stvit_video.models.layers.time_attention import attend_in_time
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import Places

Tap = Callable[[Tensor, Tensor], object]
"""Is told the queries and the keys of an attention."""


class Attention(nn.Module):
    """Queries read from `context`; without one, tokens read from themselves.

    One weight holds q, k and v, so the weights of self-attention serve cross-attention as they
    are, and self-attention stays one matrix product. With `rotary`, what is compared depends on
    where it sits.
    """

    def __init__(
        self, dim: int, *, num_heads: int, qkv_bias: bool = True, rotary: Turn | None = None
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ConfigError(f"dim ({dim}) must be divisible by num_heads ({num_heads})")
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.rotary = rotary
        self.logit_cap: float | None = None
        """What scores are bent to stay below, cap * tanh(score / cap); None for as they are."""

    def forward(
        self,
        tokens: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        places: Places | None = None,
        tap: Tap | None = None,
    ) -> Tensor:
        """Attend: (B, N, D), context (B, M, D) -> (B, N, D).

        `mask` broadcasts to (B, h, N, M): bool, True where a key may be read, or a float bias.
        `tap` is told the queries (B, h, N, d) and keys (B, h, M, d) that attention compares.
        """
        q, k, v = self.project(tokens, context)
        q, k = self._turn(q, k, places)
        if tap is not None:
            tap(q, k)
        if self.logit_cap is None:
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=_typed(mask, q))  # (B, h, N, d)
        else:
            x = _masked(self._scores(q, k), mask).softmax(dim=-1).to(v.dtype) @ v
        return self.proj(x.transpose(1, 2).flatten(2))  # (B, N, D)

    def project(
        self, tokens: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make q (B, h, N, d) of tokens, k and v (B, h, M, d) of context."""
        if context is None:
            q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        else:
            dim = tokens.shape[-1]
            q = linear_rows(self.qkv, tokens, slice(0, dim))
            k, v = linear_rows(self.qkv, context, slice(dim, 3 * dim)).chunk(2, dim=-1)
        return self._split_heads(q), self._split_heads(k), self._split_heads(v)

    def _turn(self, q: Tensor, k: Tensor, places: Places | None) -> tuple[Tensor, Tensor]:
        if self.rotary is None or places is None:
            return q, k
        return self.rotary(q, places.queries), self.rotary(k, places.keys)

    def along_time(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Let every place of the frame read its own frames: (B, N, D) on `grid` -> (B, N, D)."""
        return self.proj(attend_in_time(self.packed(tokens), grid.t).flatten(2))

    def packed(self, tokens: Tensor) -> Tensor:
        """Make q, k and v of tokens in one piece: (B, N, D) -> (B, N, 3, h, d)."""
        return self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1))

    def weights(
        self,
        tokens: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        places: Places | None = None,
    ) -> Tensor:
        """Return what `forward` attends to, mean over heads: (B, N, M), rows sum to 1."""
        q, k, _ = self.project(tokens, context)
        q, k = self._turn(q, k, places)
        return _masked(self._scores(q, k), mask).softmax(dim=-1).mean(dim=1)

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        """Compare: q (B, h, N, d), k (B, h, M, d) -> (B, h, N, M)."""
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        return (
            scores if self.logit_cap is None else self.logit_cap * (scores / self.logit_cap).tanh()
        )

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def attend_along_axes(
    attention: Attention, tokens: Tensor, grid: Grid, mask: Tensor | None = None
) -> Tensor:
    """Let the first half of the heads read along time, the others within frames: -> (B, N, D).

    Tokens (B, N, D) on `grid`; the number of heads is even. `mask` (B*t, 1, 1, n) is that of the
    frames.
    """
    qkv = attention.packed(tokens)  # (B, N, 3, h, d)
    along_time, in_frames = qkv.chunk(2, dim=3)
    x = attend_in_time(along_time, grid.t)  # (B, N, h/2, d)
    q, k, v = rearrange(in_frames, "b (t n) three h d -> three (b t) h n d", t=grid.t).unbind(0)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=_typed(mask, q))  # (B*t, h/2, n, d)
    y = rearrange(y, "(b t) h n d -> b (t n) h d", t=grid.t)
    return attention.proj(torch.cat([x, y], dim=2).flatten(2))  # (B, N, D)


def _masked(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return scores
    return scores + mask if mask.is_floating_point() else scores.masked_fill(~mask, float("-inf"))


def _typed(mask: Tensor | None, q: Tensor) -> Tensor | None:
    """Return a bias in the type of the queries, which under autocast is another one."""
    return mask.to(q.dtype) if mask is not None and mask.is_floating_point() else mask
