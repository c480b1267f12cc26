"""DPC-KNN: density peaks among the k nearest neighbours become cluster centres.

Density peaks clustering in the form that token clustering uses (TCFormer, arXiv 2204.08680).

Legend: B clips, P class tokens (0 or 1), N tokens, S clusters, k neighbours, D width.
"""

import torch
from torch import Tensor

from stvit_video.tokens.grid import split_class_token
from stvit_video.tokens.reducers.reducer import AttentionInputs, Reducer, merge_clusters
from stvit_video.tokens.token_set import TokenSet, flat_grid, token_sizes


@torch.no_grad()
def density_peaks(x: Tensor, num_clusters: int, *, num_neighbours: int) -> Tensor:
    """Cluster x (B, N, D) -> cluster number of each token (B, N), 0..S-1, none empty.

    Distances are Euclidean over sqrt(D). The density of a token is exp of minus the mean squared
    distance to its k nearest tokens, itself among them; its peak distance is that to the nearest
    token of higher density (the greatest distance of all for the densest). The S tokens with the
    largest product of both are centres; every token joins the nearest one.
    """
    x = x.float()
    distance = torch.cdist(x, x) / x.shape[-1] ** 0.5  # (B, N, N)
    nearest = distance.topk(num_neighbours, dim=-1, largest=False).values  # (B, N, k)
    density = (-(nearest**2).mean(dim=-1)).exp()  # (B, N)
    is_denser = density[:, None, :] > density[:, :, None]  # (B, N, N)
    furthest = distance.amax(dim=(1, 2), keepdim=True)
    peak_distance = distance.where(is_denser, furthest).amin(dim=-1)  # (B, N)
    centres = (density * peak_distance).topk(num_clusters, dim=-1).indices  # (B, S)
    to_centres = distance.gather(2, centres[:, None].expand(-1, x.shape[1], -1))  # (B, N, S)
    cluster = to_centres.argmin(dim=-1)  # (B, N)
    own = torch.arange(num_clusters, device=x.device).expand_as(centres)
    return cluster.scatter(1, centres, own)


class DensityPeaks(Reducer):
    """Merges the tokens of every cluster, by size."""

    def __init__(self, num_clusters: int, *, num_neighbours: int = 5) -> None:
        super().__init__()
        self.num_clusters = num_clusters
        self.num_neighbours = num_neighbours
        self.least_tokens = max(num_clusters, num_neighbours)

    def forward(self, state: TokenSet, attention: AttentionInputs) -> TokenSet:
        """Cluster: (B, P + N, D) -> (B, P + S, D), sizes tracked."""
        cls, patches = split_class_token(state.tokens, state.grid)
        size = token_sizes(state)
        num_class_tokens = cls.shape[1]
        cluster = density_peaks(patches, self.num_clusters, num_neighbours=self.num_neighbours)
        own = size[:, num_class_tokens:]
        patches, patch_size = merge_clusters(patches, own, cluster, self.num_clusters)
        return TokenSet(
            torch.cat([cls, patches], dim=1),
            flat_grid(self.num_clusters),
            torch.cat([size[:, :num_class_tokens], patch_size], dim=1),
            state.move_places(lambda x: merge_clusters(x, own, cluster, self.num_clusters)[0]),
        )
