"""Triton kernel of attention along time: a tile holds the whole series of several places.

Scores between different places of a tile are masked; the tensor cores do them for nothing, since
the kernel waits for memory. Legend as in `time_attention`.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = 64
"""Tokens of a tile: 8 places of 8 frames."""


def forward(qkv: Tensor, num_frames: int) -> Tensor:
    """Attend: qkv (B, N, 3, h, d) -> (B, N, h, d)."""
    qkv = _rows_in_one_piece(qkv)
    out = torch.empty((*qkv.shape[:2], *qkv.shape[3:]), dtype=qkv.dtype, device=qkv.device)
    grid, places = _tiles(qkv, num_frames)
    _forward[grid](qkv, out, *qkv.stride()[:4], **places)
    return out


def backward(qkv: Tensor, gradient: Tensor, num_frames: int) -> Tensor:
    """Gradient of qkv (B, N, 3, h, d) from that of the output (B, N, h, d)."""
    qkv, gradient = _rows_in_one_piece(qkv), gradient.contiguous()
    out = torch.empty(qkv.shape, dtype=qkv.dtype, device=qkv.device)
    grid, places = _tiles(qkv, num_frames)
    _backward[grid](qkv, gradient, out, *qkv.stride()[:4], **places)
    return out


def _rows_in_one_piece(qkv: Tensor) -> Tensor:
    return qkv if qkv.stride(-1) == 1 else qkv.contiguous()


def _tiles(qkv: Tensor, num_frames: int) -> tuple[tuple[int, int, int], dict[str, Any]]:
    """Return the grid of programs, tiles x heads x clips, and the sizes they are compiled for."""
    batch_size, num_tokens, _, num_heads, width = qkv.shape
    steps = triton.next_power_of_2(num_frames)
    num_places = num_tokens // num_frames
    sizes = {
        "num_places": num_places,
        "num_heads": num_heads,
        "frames": num_frames,
        "steps": steps,
        "width": width,
        "rows": _ROWS,
    }
    return (triton.cdiv(num_places, _ROWS // steps), num_heads, batch_size), sizes


@triton.jit
def _read_tile(
    qkv,
    stride_clip,
    stride_token,
    stride_part,
    stride_head,
    num_places: tl.constexpr,
    frames: tl.constexpr,
    steps: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
):
    """Load q, k and v (rows, width) of this program, and say which token of its clip a row is.

    Rows that are no token, beyond the last place or frame, are not `inside` and zero.
    """
    row = tl.arange(0, rows)
    place, step = tl.program_id(0) * (rows // steps) + row // steps, row % steps
    token = (step * num_places + place)[:, None]
    inside = ((place < num_places) & (step < frames))[:, None]
    clip, head = tl.program_id(2).to(tl.int64), tl.program_id(1)
    qkv += clip * stride_clip + head * stride_head
    qkv += token * stride_token + tl.arange(0, width)[None]
    q = tl.load(qkv, mask=inside, other=0.0)
    k = tl.load(qkv + stride_part, mask=inside, other=0.0)
    v = tl.load(qkv + 2 * stride_part, mask=inside, other=0.0)
    return q, k, v, token, inside


@triton.jit
def _attention_weights(
    q, k, frames: tl.constexpr, steps: tl.constexpr, width: tl.constexpr, rows: tl.constexpr
):
    """Softmax of the scores (rows, rows) between the frames of one place."""
    row = tl.arange(0, rows)
    readable = (row[:, None] // steps == row[None] // steps) & (row % steps < frames)[None]
    scores = tl.where(readable, tl.dot(q, tl.trans(k)) * (width**-0.5), float("-inf"))
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit
def _forward(
    qkv,
    out,
    stride_clip,
    stride_token,
    stride_part,
    stride_head,
    num_places: tl.constexpr,
    num_heads: tl.constexpr,
    frames: tl.constexpr,
    steps: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
):
    q, k, v, token, inside = _read_tile(
        *(qkv, stride_clip, stride_token, stride_part, stride_head),
        *(num_places, frames, steps, width, rows),
    )
    clip, head, column = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.arange(0, width)[None]
    weights = _attention_weights(q, k, frames, steps, width, rows)
    mixed = tl.dot(weights.to(v.dtype), v).to(v.dtype)
    out += (clip * frames * num_places * num_heads + head) * width
    tl.store(out + token * (num_heads * width) + column, mixed, mask=inside)


@triton.jit
def _backward(
    qkv,
    gradient,
    out,
    stride_clip,
    stride_token,
    stride_part,
    stride_head,
    num_places: tl.constexpr,
    num_heads: tl.constexpr,
    frames: tl.constexpr,
    steps: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
):
    q, k, v, token, inside = _read_tile(
        *(qkv, stride_clip, stride_token, stride_part, stride_head),
        *(num_places, frames, steps, width, rows),
    )
    clip, head, column = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.arange(0, width)[None]
    weights = _attention_weights(q, k, frames, steps, width, rows)
    gradient += (clip * frames * num_places * num_heads + head) * width
    of_out = tl.load(gradient + token * (num_heads * width) + column, inside, other=0.0)
    of_weights = tl.dot(of_out, tl.trans(v))
    of_scores = weights * (of_weights - tl.sum(weights * of_weights, 1)[:, None]) * (width**-0.5)
    of_scores = of_scores.to(q.dtype)
    out += (clip * frames * num_places * 3 * num_heads + head) * width
    out += token * (3 * num_heads * width) + column
    part = num_heads * width
    tl.store(out, tl.dot(of_scores, k).to(q.dtype), mask=inside)
    tl.store(out + part, tl.dot(tl.trans(of_scores), q).to(q.dtype), mask=inside)
    tl.store(out + 2 * part, tl.dot(tl.trans(weights).to(q.dtype), of_out).to(q.dtype), mask=inside)
