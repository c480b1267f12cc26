"""Activation checkpointing: forget what a block computed, compute it again for the gradient."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Recomputed:
    """A block that keeps its inputs alone until its gradient is wanted.

    It stands for the block where a stage calls it, so the modules of the network, and the names of
    its weights, stay as they are.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run the block."""
        return checkpoint(self.block, *inputs, use_reentrant=False, **options)

    def __getattr__(self, name: str) -> Any:
        """Ask the block for everything else."""
        return getattr(self.block, name)


def runnable(blocks: Iterable[nn.Module], *, recompute: bool) -> list[Any]:
    """Return the blocks as they are called; nothing is recomputed where no gradient is wanted."""
    if recompute and torch.is_grad_enabled():
        return [Recomputed(block) for block in blocks]
    return list(blocks)
