"""What the branches of a residual block are made of: MLP, stochastic depth, scale.

Legend: B clips, N tokens, D width, H hidden width.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, dim: int, hidden_dim: int, activation: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = activation()
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) -> (B, N, H) -> (B, N, D)."""
        return self.fc2(self.act(self.fc1(tokens)))


class GatedMlp(nn.Module):
    """Two linear layers side by side, one of which gates the other by SiLU, and one behind them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, hidden_dim)
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, D) -> (B, N, H) -> (B, N, D)."""
        return self.fc2(F.silu(self.gate(tokens)) * self.fc1(tokens))


class DropPath(nn.Module):
    """Stochastic depth: in training a branch is zero at random, clip by clip, else enlarged."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, branch: Tensor) -> Tensor:
        """Drop along the first axis: (B, ...) -> (B, ...)."""
        if not self.training:
            return branch
        kept = branch.new_empty(branch.shape[:1] + (1,) * (branch.ndim - 1))
        return branch * kept.bernoulli_(1 - self.drop_prob).div_(1 - self.drop_prob)


class LayerScale(nn.Module):
    """One learned factor per channel."""

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), initial))

    def forward(self, branch: Tensor) -> Tensor:
        """Scale (B, N, D) -> (B, N, D)."""
        return branch * self.gamma
