"""The pre-norm transformer block, the one shape that self-, cross- and recovery attention share.

Legend: B clips, N tokens, M context tokens, D width.
"""

from collections.abc import Callable

from timm.layers.drop import DropPath
from timm.layers.layer_scale import LayerScale
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from stvit_video.models.attention import Attention
from stvit_video.tokens.grid import Grid


class Block(nn.Module):
    """Attention and MLP, each on normed tokens and added to them.

    With a `context`, queries read from it: keys and values pass through the same norm, as the
    tokens of self-attention do, so the weights of either serve the other.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-6,
        activation: Callable[..., nn.Module] = nn.GELU,
        drop_path: float = 0.0,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act_layer=activation)  # type: ignore[arg-type]
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.scale1 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.scale2 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)

    def forward(
        self,
        tokens: Tensor,
        grid: Grid | None = None,
        *,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        shortcut: bool = True,
    ) -> Tensor:
        """Refine: tokens (B, N, D), context (B, M, D) -> (B, N, D).

        All tokens see each other, so `grid` is not read. Without `shortcut` the attention
        replaces the tokens instead of being added to them. `mask` is that of `Attention`.
        """
        normed = None if context is None else self.norm1(context)
        attended = self.drop_path(self.scale1(self.attn(self.norm1(tokens), normed, mask)))
        return self.feed_forward(tokens + attended if shortcut else attended)

    def feed_forward(self, tokens: Tensor) -> Tensor:
        """Add the MLP branch: (B, N, D) -> (B, N, D)."""
        return tokens + self.drop_path(self.scale2(self.mlp(self.norm2(tokens))))

    def attention_weights(self, tokens: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """Return what the tokens read from the context, mean over heads: (B, N, M)."""
        return self.attn.weights(self.norm1(tokens), self.norm1(context), mask)
