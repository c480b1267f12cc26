"""Agglomerative token clustering (ATC, arXiv 2409.11923): the nearest two clusters join, again and
again, for all clips of a batch at once on their device.

Legend: B clips, P class tokens (0 or 1), N tokens, S clusters, D width.
"""

from typing import Literal

import torch
from torch import Tensor

from stvit_video.tokens.reducers.reducer import AttentionInputs, Reducer, merge_clusters
from stvit_video.tokens.token_set import TokenSet, flat_grid, token_sizes

Linkage = Literal["average", "complete", "single"]


@torch.no_grad()
def agglomerate(x: Tensor, num_clusters: int, *, linkage: Linkage) -> Tensor:
    """Cluster x (B, N, D) by cosine distance -> cluster number of each token (B, N), 0..S-1.

    N - S joins run one after the other, each for the whole batch, by the Lance-Williams update of
    the distances. Clusters are numbered by their first token.
    """
    x = x.float()
    x = x / x.norm(dim=-1, keepdim=True)
    num_clips, num_tokens, _ = x.shape
    distance = 1 - x @ x.transpose(-1, -2)  # (B, N, N)
    distance.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    cluster = torch.arange(num_tokens, device=x.device).repeat(num_clips, 1)  # (B, N)
    count = torch.ones(num_clips, num_tokens, device=x.device)
    clip = torch.arange(num_clips, device=x.device)
    for _ in range(num_tokens - num_clusters):
        pair = distance.flatten(1).argmin(dim=-1)  # (B,)
        first = torch.minimum(pair // num_tokens, pair % num_tokens)
        second = torch.maximum(pair // num_tokens, pair % num_tokens)
        row = _join(distance[clip, first], distance[clip, second], count, first, second, linkage)
        row[clip, first] = torch.inf
        row[clip, second] = torch.inf
        distance[clip, first] = row
        distance[clip, :, first] = row
        distance[clip, second] = torch.inf
        distance[clip, :, second] = torch.inf
        count[clip, first] += count[clip, second]
        cluster = torch.where(cluster == second[:, None], first[:, None], cluster)
    is_first = cluster == torch.arange(num_tokens, device=x.device)  # (B, N)
    return (is_first.cumsum(dim=-1) - 1).gather(1, cluster)


def _join(
    a: Tensor, b: Tensor, count: Tensor, first: Tensor, second: Tensor, linkage: Linkage
) -> Tensor:
    """Distances (B, N) of the joined cluster from those of its parts; joined rows stay infinite."""
    match linkage:
        case "average":
            weight_a = count.gather(1, first[:, None])  # (B, 1)
            weight_b = count.gather(1, second[:, None])
            return (a * weight_a + b * weight_b) / (weight_a + weight_b)
        case "complete":
            return torch.maximum(a, b)
        case "single":
            return torch.minimum(a, b)


class Agglomeration(Reducer):
    """Clusters by the keys, averaged over heads, and merges each cluster by size."""

    def __init__(self, num_clusters: int, *, linkage: Linkage = "average") -> None:
        super().__init__()
        self.num_clusters = self.least_tokens = num_clusters
        self.linkage = linkage

    def forward(self, state: TokenSet, attention: AttentionInputs) -> TokenSet:
        """Cluster: (B, P + N, D) -> (B, P + S, D), sizes tracked."""
        num_class_tokens = state.tokens.shape[1] - state.grid.size
        size = token_sizes(state)
        keys = attention.keys.mean(dim=1)[:, num_class_tokens:]  # (B, N, d)
        cluster = agglomerate(keys, self.num_clusters, linkage=self.linkage)
        own = size[:, num_class_tokens:]
        patches, patch_size = merge_clusters(
            state.tokens[:, num_class_tokens:], own, cluster, self.num_clusters
        )
        return TokenSet(
            torch.cat([state.tokens[:, :num_class_tokens], patches], dim=1),
            flat_grid(self.num_clusters),
            torch.cat([size[:, :num_class_tokens], patch_size], dim=1),
            state.move_places(lambda x: merge_clusters(x, own, cluster, self.num_clusters)[0]),
        )
