"""Count the arithmetic of one forward pass. The only place that knows fvcore.

One MAC is one multiply-add pair, which video papers print as one "FLOP"; `flops` is 2 x `macs`.
"""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.measure.meta_convolution import OPERATOR as META_CONVOLUTION
from stvit_video.measure.meta_convolution import MetaConvolutions
from stvit_video.models.layers.linear import watching_hooks

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
    """MACs of all that runs in a call of each module, by its dotted name; the model is `""`."""
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
    analysis.ancestor_mode("caller")  # shared blocks count in the stage that runs them
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), MetaConvolutions(), watching_hooks():
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


_FREE_NAMES = """
T abs addcmul adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d
adaptive_max_pool3d add add_ all amax amin any arange argmax argmin argsort avg_pool1d
avg_pool2d avg_pool3d batch_norm bernoulli_ bincount bitwise_and bitwise_not bitwise_or cat
ceil clamp clamp_ clamp_max clamp_min clone constant_pad_nd copy_ cos cummax cummin cumsum diagonal
diff div div_ dropout dropout_ embedding empty empty_like eq erf exp exp2 expand expand_as
feature_dropout fill fill_ flip floor floor_divide full full_like gather ge gelu gelu_
group_norm gt hardswish hardswish_ im2col index index_add index_add_ index_put index_put_
index_select instance_norm is_floating_point isinf isnan layer_norm le linalg_vector_norm
linspace log log2 log_softmax logical_and logical_not logical_or lt mT masked_fill masked_fill_
masked_select max max_pool1d max_pool2d max_pool3d maximum mean meshgrid min minimum mul mul_
native_layer_norm ne neg new_empty new_full new_ones new_zeros nonzero norm normalize numpy_T
one_hot ones ones_like pad pow prod rand rand_like randint randn randn_like reciprocal relu relu_
remainder repeat repeat_interleave result_type rms_norm roll rot90 round rsqrt rsub scatter
scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ searchsorted select_scatter
sigmoid silu silu_ sin slice_scatter softmax sort split_with_sizes sqrt stack std sub sum
take_along_dim tanh tensor_split tile topk unflatten unfold unique_consecutive upsample_nearest1d
upsample_nearest2d upsample_nearest3d var var_mean where zero_ zeros zeros_like
"""

FREE_OPERATORS = frozenset(f"aten::{name}" for name in _FREE_NAMES.split()) | {
    "prim::PythonOp.SwishFunction",  # the activation of PyTorchVideo's X3D
    "stvit_video::choose_farthest",  # compares and moves; the cosines before it are a product
}
"""Element-wise operators, reductions, comparisons, moves and views, which papers do not count."""


def _sizes(value: Any) -> list[int]:
    return value.type().sizes()


def _attention_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Scores and mixing; a mask or key bias, inputs[3], is only added."""
    query, key, value = (_sizes(node) for node in inputs[:3])  # (..., N, d), (..., M, d)
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _time_attention_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Scores and mixing of our kernel: every token (B, N, h, d) reads the frames of its place."""
    return 2 * math.prod(_sizes(outputs[0])) * int(inputs[1].toIValue())


def _matmul_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """fvcore's own handle knows neither vectors nor a broadcast left side."""
    return math.prod(_sizes(outputs[0])) * _sizes(inputs[0])[-1]


def _added_product_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return _matmul_macs(inputs[1:], outputs)


def _convolution_macs(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    weight = _sizes(inputs[1])  # (D, C / groups, *kernel)
    return Counter(conv=math.prod(_sizes(outputs[0])) * math.prod(weight[1:]))


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
    "stvit_video::attend_in_time": _time_attention_macs,
    META_CONVOLUTION: _convolution_macs,
    "aten::_convolution_mode": _convolution_macs,
    "aten::baddbmm": _added_product_macs,
    "aten::_addmm_activation": _added_product_macs,
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
