"""Let the tracer pass convolutions on the meta device, where torch's own shape function fails.

Under torch.jit tracing sizes are tensors, which the Python shape function of aten::convolution
refuses. Here a convolution becomes one operator that knows its output shape and computes nothing.

Legend: B clips, C colours or channels, D output channels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

OPERATOR = "stvit_video::convolution"


class MetaConvolutions(TorchFunctionMode):
    """While active, convolutions of meta tensors are recorded as `stvit_video::convolution`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _CONVOLUTIONS and args[0].device.type == "meta":
            return _convolution(args[0], args[1], output_size(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def output_size(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> list[int]:
    """Return the shape of a convolution: x (B, C, *sizes), weight (D, C / groups, *kernel)."""
    axes = weight.ndim - 2
    strides, dilations = _per_axis(stride, axes), _per_axis(dilation, axes)
    kernel = [int(k) for k in weight.shape[2:]]
    spans = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    if padding == "same":
        sizes = [int(n) for n in x.shape[2:]]
    else:
        assert not isinstance(padding, str) or padding == "valid"
        paddings = _per_axis(0 if isinstance(padding, str) else padding, axes)
        sizes = [
            (int(n) + 2 * p - span - 1) // s + 1
            for n, p, span, s in zip(x.shape[2:], paddings, spans, strides, strict=True)
        ]
    return [int(x.shape[0]), int(weight.shape[0]), *sizes]


def _per_axis(value: int | Sequence[int], axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


@torch.library.custom_op(OPERATOR, mutates_args=())
def _convolution(x: Tensor, weight: Tensor, output_size: list[int]) -> Tensor:
    return x.new_empty(output_size)


@_convolution.register_fake
def _(x: Tensor, weight: Tensor, output_size: list[int]) -> Tensor:
    return x.new_empty(output_size)


_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
