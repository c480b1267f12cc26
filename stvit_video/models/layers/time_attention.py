"""Attention along time: every place of the frame reads its own few frames.

Fused attention works in tiles of 64 or 128 tokens, so sequences of 8 frames leave most of a tile
empty. On CUDA in half precision our kernel fills a tile with several places, forward and backward.

Legend: B clips, N = t*n tokens, t frames of n places, h heads, d width of one head.
"""

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

_HAS_TRITON = importlib.util.find_spec("triton") is not None  # not on Windows
_MOST_FRAMES = 64
_HEAD_WIDTHS = (16, 32, 64, 128)


def attend_in_time(qkv: Tensor, num_frames: int) -> Tensor:
    """Attend: qkv (B, N, 3, h, d), tokens in (t n) order -> (B, N, h, d)."""
    if _fits_kernel(qkv, num_frames):
        out: Tensor = _attend_on_cuda(qkv, num_frames)
        return out
    q, k, v = rearrange(qkv, "b (t n) three h d -> three (b n) h t d", t=num_frames).unbind(0)
    x = F.scaled_dot_product_attention(q, k, v)  # (B*n, h, t, d)
    return rearrange(x, "(b n) h t d -> b (t n) h d", b=qkv.shape[0])


def _fits_kernel(qkv: Tensor, num_frames: int) -> bool:
    return (
        _HAS_TRITON
        and qkv.is_cuda
        and qkv.dtype in (torch.bfloat16, torch.float16)
        and num_frames <= _MOST_FRAMES
        and qkv.shape[-1] in _HEAD_WIDTHS
    )


@torch.library.custom_op("stvit_video::attend_in_time", mutates_args=(), device_types="cuda")
def _attend_on_cuda(qkv: Tensor, num_frames: int) -> Tensor:
    from stvit_video.models.layers.time_kernel import forward

    return forward(qkv, num_frames)


@_attend_on_cuda.register_fake
def _shape_of_output(qkv: Tensor, num_frames: int) -> Tensor:
    return qkv.new_empty((*qkv.shape[:2], *qkv.shape[3:]))


@torch.library.custom_op(
    "stvit_video::attend_in_time_backward", mutates_args=(), device_types="cuda"
)
def _backward_on_cuda(qkv: Tensor, gradient: Tensor, num_frames: int) -> Tensor:
    from stvit_video.models.layers.time_kernel import backward

    return backward(qkv, gradient, num_frames)


@_backward_on_cuda.register_fake
def _shape_of_gradient(qkv: Tensor, gradient: Tensor, num_frames: int) -> Tensor:
    return qkv.new_empty(qkv.shape)


def _save(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    qkv, ctx.num_frames = inputs
    ctx.save_for_backward(qkv)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    (qkv,) = ctx.saved_tensors
    return _backward_on_cuda(qkv, gradient, ctx.num_frames), None


_attend_on_cuda.register_autograd(_backward, setup_context=_save)
