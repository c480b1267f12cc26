"""Clusters of tokens by content: each token belongs to one, and a semantic token is their mean.

Legend: B clips, N = t*h*w tokens, R regions along time, K centres, S = R*K clusters, D width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.farthest import cluster_farthest


class Clusters(NamedTuple):
    """The means of clusters and who is in them."""

    means: Tensor
    """(B, S, D)."""
    size: Tensor
    """(B, S, 1): tokens of each; 0 where a region holds nothing of what its centre stands for."""
    nearest: Tensor
    """int64 (B, N): the cluster of each token."""

    def shares(self) -> Tensor:
        """Say what each mean is made of: (B, S, N), rows sum to 1; to 0 in an empty cluster."""
        return _weights(self.nearest, 1 / self.size.clamp(min=1))


def cluster_tokens(tokens: Tensor, grid: Grid, *, num_regions: int, num_centers: int) -> Clusters:
    """Cluster tokens (B, N, D) on `grid` around the K farthest of them.

    The centres are those of the whole clip. With more than one region along time, each has the
    means of its own tokens, so token k of all regions is one thing on its way through time; where
    it is not seen, its place holds the mean of the clip, of size 0.
    """
    center = cluster_farthest(tokens, num_centers)  # (B, N)
    nearest = center + num_centers * _region_of(grid, num_regions, tokens.device)
    means, size = _average(tokens, nearest, num_regions * num_centers)
    if num_regions > 1:
        whole, _ = _average(tokens, center, num_centers)  # (B, K, D)
        means = torch.where(size > 0, means, whole.repeat(1, num_regions, 1))
    return Clusters(means, size, nearest)


def _average(tokens: Tensor, nearest: Tensor, num_clusters: int) -> tuple[Tensor, Tensor]:
    """Return means (B, S, D) and sizes (B, S, 1), by one matrix product and in any order alike."""
    one = torch.ones(1, device=tokens.device).expand(nearest.shape)
    size = one.new_zeros(len(nearest), num_clusters).scatter_add(1, nearest, one)[..., None]
    means = _weights(nearest, (1 / size.clamp(min=1)).to(tokens.dtype)) @ tokens
    return means.to(tokens.dtype), size  # under autocast the product has another type


def _weights(nearest: Tensor, share: Tensor) -> Tensor:
    """Write the share (B, S, 1) of a cluster where a token (B, N) is in it: (B, S, N)."""
    cluster = torch.arange(share.shape[1], device=nearest.device)[:, None]
    return torch.where(nearest[:, None] == cluster, share, 0.0)


def _region_of(grid: Grid, num_regions: int, device: torch.device) -> Tensor:
    """Number the region of each token along time: int64 (N,)."""
    frame = torch.arange(grid.t, device=device) * num_regions // grid.t
    return frame.repeat_interleave(grid.h * grid.w)
