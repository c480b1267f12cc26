"""Some outputs of a linear layer alone, whatever replaced or wraps the layer.

Legend: C inputs, D outputs.
"""

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
    return (
        type(linear) is nn.Linear
        and type(linear.weight) is nn.Parameter
        and not linear._forward_hooks
        and not linear._forward_pre_hooks
        and not linear._backward_hooks
        and not linear._backward_pre_hooks
    )
