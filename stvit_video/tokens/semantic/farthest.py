"""Centres by content: the tokens that are least like each other, and who is nearest to which.

Windows of a grid spend their centres where most of a clip is, on what is alike, and miss what is
rare; farthest points do the opposite, and need no training.

Legend: B clips, N tokens, K centres, D width.
"""

import importlib.util
from contextlib import nullcontext

import torch
from torch import Tensor

_HAS_TRITON = importlib.util.find_spec("triton") is not None  # not on Windows


@torch.no_grad()
def cluster_farthest(tokens: Tensor, num_centers: int) -> Tensor:
    """Choose K tokens as centres and give each token to one: (B, N, D) -> int64 (B, N), 0..K-1.

    The first centre is the token least like the mean of all; then, again and again, that whose
    most similar centre is least similar (Gonzalez 1985). Similarity is the cosine. Each token goes
    to its most similar centre, the earlier one of equals, and a centre to itself: none is empty.

    One matrix (B, N, N) is held, of half precision where the tokens on a GPU are.
    """
    similarity, first = compare_tokens(tokens)
    if _HAS_TRITON and similarity.is_cuda:
        nearest: Tensor = _choose_on_cuda(similarity, first, num_centers)
        return nearest
    return choose_farthest(similarity, first, num_centers)


def compare_tokens(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Compare all tokens: (B, N, D) -> cosines (B, N, N), int64 (B,) which is least like the mean.

    Half precision means float16, whose steps are finer than those of bfloat16 between -1 and 1.
    """
    device = tokens.device.type
    is_half = tokens.is_cuda and (tokens.element_size() < 4 or torch.is_autocast_enabled(device))
    dtype = torch.float16 if is_half else torch.float32
    features = torch.empty(tokens.shape, dtype=dtype, device=tokens.device)
    length = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True, dtype=torch.float32)
    torch.div(tokens, length.clamp(min=1e-12), out=features)  # (B, N, D), one pass over memory
    mean = features.mean(dim=1, dtype=torch.float32).to(features.dtype)
    with nullcontext() if tokens.is_meta else torch.autocast(device, enabled=False):
        first = (features @ mean[..., None]).squeeze(-1).argmin(dim=1)
        return features @ features.mT, first


def choose_farthest(similarity: Tensor, first: Tensor, num_centers: int) -> Tensor:
    """Choose centres and assign: cosines (B, N, N), first centre (B,) -> int64 (B, N)."""
    batch_size, num_tokens, _ = similarity.shape
    best = similarity.new_full((batch_size, num_tokens), -torch.inf)
    nearest = torch.zeros_like(best, dtype=torch.int64)
    chosen = first[:, None]  # (B, 1)
    for center in range(num_centers):
        if center:
            chosen = best.argmin(dim=1, keepdim=True)
        row = similarity.gather(1, chosen[..., None].expand(-1, -1, num_tokens)).squeeze(1)
        is_nearer = row > best
        best = torch.where(is_nearer, row, best).scatter(1, chosen, torch.inf)
        nearest = torch.where(is_nearer, center, nearest).scatter(1, chosen, center)
    return nearest


@torch.library.custom_op("stvit_video::choose_farthest", mutates_args=(), device_types="cuda")
def _choose_on_cuda(similarity: Tensor, first: Tensor, num_centers: int) -> Tensor:
    from stvit_video.tokens.semantic.farthest_kernel import choose

    return choose(similarity, first, num_centers)


@_choose_on_cuda.register_fake
def _shape_of_nearest(similarity: Tensor, first: Tensor, num_centers: int) -> Tensor:
    return similarity.new_empty(similarity.shape[:2], dtype=torch.int64)
