"""Some outputs of a linear layer alone, whatever replaced or wraps the layer.

Legend: C inputs, D outputs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeGuard

import torch.nn.functional as F
from torch import Tensor, nn


def linear_rows(linear: nn.Module, x: Tensor, rows: slice) -> Tensor:
    """Compute some outputs of `linear`: (..., C) -> (..., rows of D).

    A plain layer computes nothing else. Any other one is called, whole, so that an adapter, a
    quantised layer and hooks act; the other outputs are then thrown away.
    """
    if is_plain(linear):
        bias = linear.bias
        return F.linear(x, linear.weight[rows], None if bias is None else bias[rows])
    outputs: Tensor = linear(x)
    return outputs[..., rows]


def is_plain(linear: nn.Module) -> TypeGuard[nn.Linear]:
    """Say whether reading the weight gives what a call gives: no other type, no hooks."""
    if type(linear) is not nn.Linear or type(linear.weight) is not nn.Parameter:
        return False
    hooks = (
        linear._forward_hooks,
        linear._forward_pre_hooks,
        linear._backward_hooks,
        linear._backward_pre_hooks,
    )
    return _watching or not any(hooks)


@contextmanager
def watching_hooks() -> Iterator[None]:
    """Take all hooks for such as only watch: what is counted or timed is the plain network."""
    global _watching
    before, _watching = _watching, True
    try:
        yield
    finally:
        _watching = before


_watching = False
