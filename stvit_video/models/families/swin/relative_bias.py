"""Relative position bias of windowed attention: one learned number per offset and head.

A table holds the offsets of a window of w tokens, -(w - 1) to w - 1 along every axis, flattened in
(t h w) order. Semantic tokens sit between patch tokens, so their offsets are fractions of a patch:
the table is read there by linear interpolation, and beyond its ends at its ends.

Legend: R offsets in the table, h heads, W windows, M tokens in a window, Q queries, K keys.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stvit_video.models.families.swin.windows import Size


class AxisPlaces(NamedTuple):
    """Where queries and keys sit along one axis, in patches, by window of this axis."""

    queries: Tensor  # float (W, Q)
    keys: Tensor  # float (W, K)


def table_length(window: Size) -> int:
    """Count the offsets inside a window."""
    return math.prod(2 * size - 1 for size in window)


def window_bias(table: Tensor, window: Size, fitted: Size) -> Tensor:
    """Read the bias between the tokens of a window: table (R, h) -> (h, M, M).

    A window `fitted` to a smaller grid takes the first M tokens of the whole window, as Video
    Swin does; along time these are its first frames.
    """
    token = torch.arange(math.prod(fitted), device=table.device)
    _, h, w = window
    index = torch.zeros_like(token[:, None])
    for size, place in zip(window, (token // (h * w), token // w % h, token % w), strict=True):
        index = index * (2 * size - 1) + place[:, None] - place + size - 1  # (M, M)
    # Fused attention refuses a bias whose keys are not next to each other in memory.
    return table[index].permute(2, 0, 1).contiguous()


def interpolated_bias(table: Tensor, window: Size, places: Sequence[AxisPlaces]) -> Tensor:
    """Read the bias between any places: table (R, h) -> (W, h, Q, K), axes (t, h, w) flattened."""
    bias = table.unflatten(0, [2 * size - 1 for size in window])  # (rt, rh, rw, h)
    for axis, (size, place) in enumerate(zip(window, places, strict=True)):
        offset = place.queries[:, :, None] - place.keys[:, None]  # (W, Q, K) of this axis
        row = offset.clamp(1 - size, size - 1).flatten() + (size - 1)
        low = row.floor().long()
        high = (low + 1).clamp(max=2 * size - 2)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        share = (row - low).to(bias.dtype).view(shape)
        first = bias.index_select(axis, low)
        bias = first + (bias.index_select(axis, high) - first) * share
    (wt, qt), (wh, qh), (ww, qw) = (place.queries.shape for place in places)
    kt, kh, kw = (place.keys.shape[1] for place in places)
    num_heads = table.shape[1]
    bias = bias.view(wt, qt, kt, wh, qh, kh, ww, qw, kw, num_heads)
    bias = bias.permute(0, 3, 6, 9, 1, 4, 7, 2, 5, 8)  # windows, heads, queries, keys
    return bias.reshape(wt * wh * ww, num_heads, qt * qh * qw, kt * kh * kw)
