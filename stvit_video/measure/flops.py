"""Count the arithmetic of one forward pass. The only place that knows fvcore.

One MAC is one multiply-add pair, which video papers print as one "FLOP"; `flops` is 2 x `macs`.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore compiles a loss by torch.jit.script
    from fvcore.nn import FlopCountAnalysis


@dataclass(frozen=True, kw_only=True, slots=True)
class FlopReport:
    """Arithmetic of one forward pass over one view."""

    macs: int
    """Multiply-add pairs: what video papers print as 'FLOPs'."""
    num_views: int
    """Views per video, so that totals can be compared between protocols."""
    num_parameters: int
    """Numbers in the parameters of the model, a shared one counted once."""
    by_operator: Mapping[str, int]
    """MACs of each operator type that computes, largest first."""
    by_module: Mapping[str, int]
    """MACs inside each module, by its dotted name; the model itself is `""`."""
    uncounted: Mapping[str, int]
    """Calls of operators that have no count and are not known to be free."""

    @property
    def flops(self) -> int:
        """Multiplications plus additions of one view."""
        return 2 * self.macs

    @property
    def macs_per_video(self) -> int:
        """MACs of the whole protocol, all views of one video."""
        return self.macs * self.num_views

    @property
    def flops_per_video(self) -> int:
        """Multiplications plus additions of all views of one video."""
        return 2 * self.macs_per_video


def count_flops(
    model: nn.Module, clip: Tensor, *, num_views: int = 1, allow_uncounted: bool = False
) -> FlopReport:
    """Count by running `model` on one `clip` (1, C, T, H, W), so no layer can be forgotten.

    Model and clip may both be on the meta device: then only shapes are computed. Matrix products,
    convolutions, attention and interpolation count; operators of `FREE_OPERATORS` do not.

    Raises:
        ValueError: `clip` holds more than one view.
        ConfigError: an operator has no count, unless `allow_uncounted` puts it in the report.
    """
    if clip.shape[0] != 1:
        raise ValueError(f"clip must hold one view, got batch size {clip.shape[0]}")
    analysis = FlopCountAnalysis(model, clip)
    analysis.set_op_handle(**_HANDLES)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            macs = int(analysis.total())
    finally:
        model.train(was_training)
    uncounted = {
        name: count
        for name, count in analysis.unsupported_ops().items()
        if name not in FREE_OPERATORS
    }
    if uncounted and not allow_uncounted:
        raise ConfigError(
            f"no count for {', '.join(sorted(uncounted))} in {type(model).__name__};"
            " allow uncounted operators to see the rest"
        )
    by_operator = {name: int(count) for name, count in analysis.by_operator().most_common()}
    return FlopReport(
        macs=macs,
        num_views=num_views,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        by_operator={name: count for name, count in by_operator.items() if count},
        by_module={name: int(count) for name, count in analysis.by_module().items()},
        uncounted=uncounted,
    )


def _aten(names: str) -> frozenset[str]:
    return frozenset(f"aten::{name}" for name in names.split())


FREE_OPERATORS = (
    _aten("add add_ sub rsub mul mul_ div div_ neg pow sqrt rsqrt exp exp2 log log2 erf tanh abs")
    | _aten("gelu gelu_ relu relu_ silu silu_ sigmoid hardswish hardswish_ softmax log_softmax")
    | _aten("mean sum amax amin max min norm linalg_vector_norm var std var_mean cumsum prod")
    | _aten("layer_norm batch_norm group_norm instance_norm native_layer_norm normalize rms_norm")
    | _aten("max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d")
    | _aten("adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d")
    | _aten("upsample_nearest1d upsample_nearest2d upsample_nearest3d dropout feature_dropout")
    | _aten("sort argsort topk argmax argmin eq ne lt gt le ge where logical_not logical_and")
    | _aten(
        "bitwise_not bitwise_and bitwise_or logical_or clamp clamp_min clamp_max clamp_ maximum"
    )
    | _aten("minimum floor ceil round floor_divide remainder sin cos masked_fill masked_fill_")
    | _aten("gather scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ index")
    | _aten("index_put index_put_ index_add index_add_ index_select take_along_dim embedding")
    | _aten(
        "one_hot bincount nonzero unique_consecutive repeat_interleave cummax diff searchsorted"
    )
    | _aten(
        "rand randn randint rand_like randn_like arange linspace zeros ones full empty new_full"
    )
    | _aten("zeros_like ones_like full_like empty_like new_zeros new_ones new_empty fill_ zero_")
    | _aten(
        "bernoulli_ meshgrid stack cat roll pad constant_pad_nd flip tile repeat expand_as expand"
    )
    | _aten("unflatten copy_ clone select_scatter slice_scatter split_with_sizes im2col unfold")
    | _aten(
        "mT T numpy_T diagonal rot90 isnan isinf any all result_type is_floating_point fill masked_select"
    )
)
"""Element-wise operators, reductions, comparisons, moves and views, which papers do not count."""


def _sizes(value: Any) -> list[int]:
    return value.type().sizes()


def _attention_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Scores and mixing; a mask or key bias, inputs[3], is only added."""
    query, key, value = (_sizes(node) for node in inputs[:3])  # (..., N, d), (..., M, d)
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _matmul_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """fvcore's own handle knows neither vectors nor a broadcast left side."""
    return math.prod(_sizes(outputs[0])) * _sizes(inputs[0])[-1]


def _added_bmm_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return _matmul_macs(inputs[1:], outputs)


def _distance_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return math.prod(_sizes(outputs[0])) * _sizes(inputs[0])[-1]  # (..., N, M) x D


def _grid_sample_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Weighted sum of the 2 ** d corners around each sampled point of a d-dimensional volume."""
    output = _sizes(outputs[0])  # (B, C, *volume)
    return math.prod(output) * 2 ** (len(output) - 2)


def _no_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return 0


def _interpolation_macs(num_neighbours: int) -> Any:
    def count(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
        return math.prod(_sizes(outputs[0])) * num_neighbours

    return count


_HANDLES: dict[str, Any] = {
    "aten::scaled_dot_product_attention": _attention_macs,
    "aten::baddbmm": _added_bmm_macs,
    "aten::matmul": _matmul_macs,
    "aten::mv": _matmul_macs,
    "aten::cdist": _distance_macs,
    "aten::grid_sampler": _grid_sample_macs,
    "aten::upsample_linear1d": _interpolation_macs(2),
    "aten::upsample_bilinear2d": _interpolation_macs(4),
    "aten::_upsample_bilinear2d_aa": _interpolation_macs(4),
    "aten::upsample_bicubic2d": _interpolation_macs(16),
    "aten::_upsample_bicubic2d_aa": _interpolation_macs(16),
    "aten::upsample_trilinear3d": _interpolation_macs(8),
    # fvcore counts these; papers do not
    "aten::upsample_nearest2d": _no_macs,
    "aten::adaptive_avg_pool2d": _no_macs,
    "aten::batch_norm": _no_macs,
    "aten::group_norm": _no_macs,
    "aten::layer_norm": _no_macs,
    "aten::instance_norm": _no_macs,
}
