"""Clusters of tokens by content: each token belongs to one, and a semantic token is their mean.

Tokens that attention reads by content and place are clustered by both: they hold no positions.

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
    """(B, S, 1): tokens of each, at least one."""
    nearest: Tensor
    """int64 (B, N): the cluster of each token."""

    def shares(self) -> Tensor:
        """Say what each mean is made of: (B, S, N), rows sum to 1."""
        return _weights(self.nearest, 1 / self.size)


def cluster_tokens(
    tokens: Tensor,
    grid: Grid,
    *,
    num_regions: int,
    num_centers: int,
    places: Tensor | None = None,
) -> Clusters:
    """Cluster tokens (B, N, D) on `grid` around the K farthest of them.

    With `places` (B or 1, N, 3), see `TokenSet.places`, by content and place alike.

    With more than one region along time, places of the frame are clustered, by all that they hold
    through time, and each region has the means of its own tokens: token k of all regions is of the
    same places, as attention along time reads them.
    """
    compared = tokens if places is None else _beside_places(tokens, places)
    if num_regions == 1:
        nearest = cluster_farthest(compared, num_centers)  # (B, N)
    else:
        series = compared.unflatten(1, (grid.t, -1)).transpose(1, 2).flatten(2)  # (B, h*w, t*D)
        place = cluster_farthest(series, num_centers)[:, None]  # (B, 1, h*w)
        region = torch.arange(grid.t, device=tokens.device) * num_regions // grid.t
        nearest = (place + num_centers * region[:, None]).flatten(1)
    means, size = _average(tokens, nearest, num_regions * num_centers)
    return Clusters(means, size, nearest)


def _beside_places(tokens: Tensor, places: Tensor) -> Tensor:
    """Add channels that say the place, as long as the token: (B, N, D) -> (B, N, D + 60).

    Sine and cosine of the angles that heads of 64 channels turn by (`layers.rotary`): their product
    falls with the distance. The cosine of two such tokens is the mean of the cosines of content and
    place. Measured in docs/results/vjepa2/training_free.md; other weights of the place and the keys
    of the next block were tried beside it, on clips of the training part.
    """
    steps = torch.arange(_STEPS, device=places.device) / _STEPS
    angles = places[..., None] * 10000.0**-steps  # (B, N, 3, steps)
    channels = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(2) / (3 * _STEPS) ** 0.5
    length = torch.linalg.vector_norm(tokens, dim=-1, keepdim=True, dtype=torch.float32)
    return torch.cat([tokens, (length * channels).to(tokens.dtype)], dim=-1)


_STEPS = 10


def _average(tokens: Tensor, nearest: Tensor, num_clusters: int) -> tuple[Tensor, Tensor]:
    """Return means (B, S, D) and sizes (B, S, 1).

    By a matrix product, which adds up large clusters in float32 and always in the same order, where
    scattered sums (`reducers.reducer.merge_clusters`) would not.
    """
    one = torch.ones(1, device=tokens.device).expand(nearest.shape)
    size = one.new_zeros(nearest.shape[0], num_clusters).scatter_add(1, nearest, one)[..., None]
    means = _weights(nearest, (1 / size).to(tokens.dtype)) @ tokens
    return means.to(tokens.dtype), size  # under autocast the product has another type


def _weights(nearest: Tensor, share: Tensor) -> Tensor:
    """Write the share (B, S, 1) of a cluster where a token (B, N) is in it: (B, S, N)."""
    cluster = torch.arange(share.shape[1], device=nearest.device)[:, None]
    return torch.where(nearest[:, None] == cluster, share, 0.0)
