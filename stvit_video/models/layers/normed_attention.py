"""Attention that norms its queries and keys over all heads at once, as InternVideo2 does.

Legend: B clips, N query tokens, M key tokens, D width, h heads, d width of one head.
"""

from torch import Tensor, nn

from stvit_video.models.layers.attention import Attention


class NormedAttention(Attention):
    """Attention without biases of q, k and v, the first two of which pass an RMS norm."""

    def __init__(self, dim: int, *, num_heads: int, norm_eps: float) -> None:
        super().__init__(dim, num_heads=num_heads, qkv_bias=False)
        self.q_norm = nn.RMSNorm(dim, eps=norm_eps)
        self.k_norm = nn.RMSNorm(dim, eps=norm_eps)

    def project(
        self, tokens: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make normed q (B, h, N, d) of tokens, normed k and v (B, h, M, d) of context."""
        q, k, v = super().project(tokens, context)
        return self._over_heads(self.q_norm, q), self._over_heads(self.k_norm, k), v

    def _over_heads(self, norm: nn.RMSNorm, x: Tensor) -> Tensor:
        """Norm (B, h, N, d) over h and d, in the type of the weight, which autocast leaves."""
        joined = x.transpose(1, 2).flatten(2).to(norm.weight.dtype)  # (B, N, D)
        return self._split_heads(norm(joined).to(x.dtype))
