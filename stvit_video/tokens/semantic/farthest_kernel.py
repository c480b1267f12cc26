"""Triton kernel that chooses farthest points: one program a clip, one launch for all centres.

The steps follow each other, and each reads one row of the similarities: a program keeps what its
tokens know in registers and waits for nothing but that row. Legend as in `farthest`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


def choose(similarity: Tensor, first: Tensor, num_centers: int) -> Tensor:
    """Choose and assign: cosines (B, N, N), first centre (B,) -> int64 (B, N)."""
    similarity = similarity.contiguous()
    batch_size, num_tokens, _ = similarity.shape
    nearest = torch.empty((batch_size, num_tokens), dtype=torch.int64, device=similarity.device)
    width = triton.next_power_of_2(num_tokens)
    _choose[(batch_size,)](
        similarity,
        first,
        nearest,
        num_tokens,
        num_centers,
        width=width,
        num_warps=min(max(width // 256, 1), 16),
    )
    return nearest


@triton.jit
def _choose(similarity, first, nearest, num_tokens, num_centers, width: tl.constexpr):
    clip = tl.program_id(0).to(tl.int64)
    token = tl.arange(0, width)
    inside = token < num_tokens
    similarity += clip * num_tokens * num_tokens
    best = tl.where(inside, float("-inf"), float("inf"))
    own = tl.zeros((width,), tl.int32)
    chosen = tl.load(first + clip).to(tl.int32)
    for center in range(num_centers):
        row = tl.load(similarity + chosen.to(tl.int64) * num_tokens + token, inside, other=0.0)
        row = row.to(tl.float32)
        is_nearer = row > best
        is_center = token == chosen
        best = tl.where(is_center, float("inf"), tl.where(is_nearer, row, best))
        own = tl.where(is_center | is_nearer, center, own)
        chosen = tl.argmin(best, 0)
    tl.store(nearest + clip * num_tokens + token, own.to(tl.int64), mask=inside)
