"""Cluster patch tokens into a few semantic tokens: the STGM of STViT (arXiv 2303.08685) for clips.

Legend: B clips, P class tokens (0 or 1), N patch tokens, S semantic tokens, D width, R regions
(1 for scope `clip`, one per tube or frame otherwise), M tokens that a region reads.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.settings.grammar import SemanticConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.clusters import Clusters, cluster_tokens
from stvit_video.tokens.semantic.pooling import AveragePooling, build_pooling
from stvit_video.tokens.semantic.regions import TimeRegions
from stvit_video.tokens.token_set import Places, TokenSet, tell_places
from stvit_video.tokens.windows import check_windows, window_bounds

Layer = Callable[..., Tensor]
"""A block, or a block that was told where queries and context sit."""


class GeneratorLayer(Protocol):
    """What the generator wants of a block besides cross-attention: what it attends to."""

    def attention_weights(
        self, tokens: Tensor, context: Tensor, mask: Tensor | None, **where: Places
    ) -> Tensor:
        """Return what tokens (B, Q, D) read from context (B, M, D), mean over heads: (B, Q, M)."""
        ...


class LayerInput(NamedTuple):
    """What a layer of the generator reads; a layer is a pre-norm block with cross-attention."""

    queries: Tensor  # (B*R, P + S/R, D)
    context: Tensor  # (B*R, M, D)
    mask: Tensor | None  # bool (B*R, 1, 1, M), False where a token only fills up a region
    shortcut: bool  # whether the attention is added to the queries or replaces them
    where: dict[str, Places]  # where queries and context sit, for layers that read it


class _Made(NamedTuple):
    """Class tokens and centres of each region, what they began with, and the last layer's input."""

    cls: Tensor  # (B*R, P, D)
    centers: Tensor  # (B*R, S/R, D)
    clusters: Clusters | None  # of far centres
    places: Tensor | None  # (B*R or 1, S/R, 3)
    last: LayerInput | None  # None without layers


class PerWindow(NamedTuple):
    """What windowed attention keeps of a window: its sides in patch and in semantic tokens."""

    window: Grid
    tokens: Grid

    def semantic_grid(self, grid: Grid) -> Grid:
        """Count the semantic tokens of all windows, never more than there are patch tokens."""
        t, h, w = (
            min(n, -(-n // side) * kept)
            for n, side, kept in zip(grid, self.window, self.tokens, strict=True)
        )
        return Grid(t, h, w)


class SemanticTokenGenerator(nn.Module):
    """Makes S cluster centres from N patch tokens, S << N.

    1. Pool the windows of the grid: every window gives one centre, together P. Or, by content: P
       are the means of clusters around the farthest points, which carry their sizes.
    2. Layer 1: the centres attend to the patch tokens X, with residual P (unless `shortcut` is
       off). Far centres may do without layers.
    3. Every further layer: q = S, k = v = [S; X]; before the first of them the learnable global
       centres G are added to the queries (not to the keys).

    The layers are the backbone's own blocks, handed in by the network, so a pretrained backbone
    initialises them. Class tokens go along as further queries and keys; under the scopes `tube`
    and `frame` every region has its copy, and the copies are averaged afterwards.

    The semantic grid is the setting's for any input, but `per_window` it grows with the input, and
    far centres have only their number, or one for each region along time. A centre sits in the
    middle of its window or cluster, for layers that read places.
    """

    def __init__(
        self, dim: int, setting: SemanticConfig, per_window: PerWindow | None = None
    ) -> None:
        super().__init__()
        self.setting = setting
        self.per_window = per_window
        self.pool = build_pooling(setting.pool, dim)
        self.global_centers: nn.Parameter | None = None
        if setting.use_global:
            self.global_centers = nn.Parameter(torch.empty(1, self._global_grid().size, dim))
            nn.init.trunc_normal_(self.global_centers, std=0.02)

    def semantic_grid(self, grid: Grid) -> Grid:
        """Return the grid of the semantic tokens; scope `frame` keeps every frame of the clip."""
        semantic_grid = Grid(*self.setting.grid)
        if self.per_window is not None:
            semantic_grid = self.per_window.semantic_grid(grid)
        if self.setting.centers == "far":
            num_regions = 1 if self.setting.scope == "clip" else semantic_grid.t
            semantic_grid = Grid(num_regions, 1, semantic_grid.size // num_regions)
        return semantic_grid._replace(t=grid.t) if self.setting.scope == "frame" else semantic_grid

    def region_grids(self, grid: Grid) -> tuple[Grid, Grid]:
        """Return what one region holds: its semantic grid, and its patch grid."""
        num_regions, semantic_grid = self._regions(grid).num_regions, self.semantic_grid(grid)
        longest = max(stop - start for start, stop in window_bounds(grid.t, num_regions))
        return semantic_grid._replace(t=semantic_grid.t // num_regions), grid._replace(t=longest)

    def forward(self, state: TokenSet, layers: Sequence[Layer]) -> tuple[TokenSet, Clusters | None]:
        """Cluster: tokens (B, P + N, D) -> (B, P + S, D), and the clusters around far centres."""
        regions = self._regions(state.grid)
        made = self._cluster(state, layers)
        cls = regions.average(made.cls)
        tokens = torch.cat([cls, regions.unfold(made.centers)], dim=1)
        size = None
        if made.clusters is not None:
            own = made.clusters.size.new_ones(cls.shape[0], cls.shape[1], 1)
            size = torch.cat([own, made.clusters.size], dim=1)
        places = None if made.places is None else regions.unfold(made.places)
        return TokenSet(tokens, self.semantic_grid(state.grid), size, places), made.clusters

    def assignments(self, state: TokenSet, layers: Sequence[Layer]) -> Tensor:
        """Say what each centre is made of: tokens (B, P + N, D) -> weights (B, S, N).

        The attention of the last layer over the patch tokens, mean over heads; the weight on
        class tokens and other centres is left out, so a row sums to at most 1. Without layers the
        share of each token in the mean.
        """
        regions = self._regions(state.grid)
        made = self._cluster(state, layers)
        if made.last is None:
            assert made.clusters is not None
            return made.clusters.shares()
        weights = cast(GeneratorLayer, layers[-1]).attention_weights(
            made.last.queries, made.last.context, made.last.mask, **made.last.where
        )
        num_patches = made.last.context.shape[1] - made.cls.shape[1]
        if len(layers) > 1:
            num_patches -= made.centers.shape[1]
        return regions.merge_weights(weights[:, made.cls.shape[1] :, -num_patches:])

    def _cluster(self, state: TokenSet, layers: Sequence[Layer]) -> _Made:
        """Make the first centres and run the layers."""
        semantic_grid = self.semantic_grid(state.grid)
        regions = self._regions(state.grid)
        cls, patches = state.split()
        centers, clusters = self._first_centers(patches, state)
        places = self._places(state, clusters)
        centers = regions.fold(centers)  # (B*R, S/R, D)
        patches, inside = regions.split(patches), regions.inside(patches)
        cls = regions.repeat(cls)
        inputs = None
        for i, layer in enumerate(layers):
            read = [cls, patches] if i == 0 else [cls, centers, patches]
            context = torch.cat(read, dim=1)  # (B*R, M, D)
            if i == min(1, len(layers) - 1):
                centers = self._add_global_centers(centers, regions, semantic_grid)
            queries = torch.cat([cls, centers], dim=1)  # (B*R, P + S/R, D)
            shortcut = self.setting.shortcut or i > 0
            where = _tell_layer(places, is_first=i == 0)
            inputs = LayerInput(queries, context, _key_mask(inside, context), shortcut, where)
            out = layer(queries, context=context, mask=inputs.mask, shortcut=shortcut, **where)
            cls, centers = out.split([cls.shape[1], centers.shape[1]], dim=1)
        return _Made(cls, centers, clusters, places and places.queries, inputs)

    def _first_centers(self, patches: Tensor, state: TokenSet) -> tuple[Tensor, Clusters | None]:
        """Make the centres that the layers begin with: (B, N, D) -> (B, S, D)."""
        semantic_grid = self.semantic_grid(state.grid)
        if self.setting.centers == "grid":
            return self.pool(patches, state.grid, semantic_grid), None
        clusters = cluster_tokens(
            patches,
            state.grid,
            num_regions=semantic_grid.t,
            num_centers=semantic_grid.size // semantic_grid.t,
            places=state.places,
        )
        return clusters.means, clusters

    def _places(self, state: TokenSet, clusters: Clusters | None) -> Places | None:
        """Return where centres and patches sit, region by region: (B*R or 1, S/R or M, 3)."""
        if state.places is None:
            return None
        regions, places = self._regions(state.grid), state.places
        if clusters is not None or regions.num_regions > 1:
            places = places.expand(state.tokens.shape[0], -1, -1)
        if clusters is None:
            centers = AveragePooling()(places, state.grid, self.semantic_grid(state.grid))
        else:
            centers = clusters.shares() @ places
        return Places(regions.fold(centers), regions.split(places))

    def _add_global_centers(
        self, centers: Tensor, regions: TimeRegions, semantic_grid: Grid
    ) -> Tensor:
        if self.global_centers is None:
            return centers
        native = self._global_grid()
        if self.setting.scope == "frame":
            wanted = semantic_grid._replace(t=1)
            return centers + _resize_centers(self.global_centers, native, wanted)
        added = _resize_centers(self.global_centers, native, semantic_grid)
        return regions.fold(regions.unfold(centers) + added)

    def _global_grid(self) -> Grid:
        """Return the grid of G; frames share theirs under scope `frame`."""
        grid = Grid(*self.setting.grid)
        return grid._replace(t=1) if self.setting.scope == "frame" else grid

    def _regions(self, grid: Grid) -> TimeRegions:
        semantic_grid = self.semantic_grid(grid)
        return TimeRegions(grid, 1 if self.setting.scope == "clip" else semantic_grid.t)


def _resize_centers(centers: Tensor, native: Grid, grid: Grid) -> Tensor:
    """Interpolate (1, S, D) from its native grid to another one."""
    if native == grid:
        return centers
    volume = centers.transpose(1, 2).unflatten(2, tuple(native)).float()  # (1, D, t, h, w)
    resized = F.interpolate(volume, size=grid, mode="trilinear", align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(centers.dtype)


def check_counts(setting: SemanticConfig, grid: Grid) -> None:
    """Refuse more semantic tokens than there are tokens, or a scope `frame` that drops frames.

    Raises:
        ConfigError: the semantic grid has another length in time than the token grid, or is larger.
    """
    if setting.scope == "frame" and setting.grid[0] != grid.t:
        raise ConfigError(
            f"semantic setting {setting} keeps {setting.grid[0]} time steps, but scope=frame"
            f" clusters each of the {grid.t} on its own; write {grid.t} or use scope=tube"
        )
    semantic_grid, among = Grid(*setting.grid), grid
    if setting.centers == "grid":
        check_windows(grid, semantic_grid)
        return
    if setting.scope != "clip":
        check_windows(grid, Grid(semantic_grid.t, 1, 1))
        semantic_grid, among = semantic_grid._replace(t=1), grid._replace(t=1)
    if semantic_grid.size > among.size:
        what = "tokens" if setting.scope == "clip" else "places of a frame"
        raise ConfigError(
            f"semantic setting {setting} chooses {semantic_grid.size} centres among {among.size}"
            f" {what}; choose at most {among.size}"
        )


def _tell_layer(places: Places | None, *, is_first: bool) -> dict[str, Places]:
    """Say where queries and context of a layer sit; after the first, centres lie ahead."""
    if places is None:
        return {}
    return tell_places(places.queries, places.keys if is_first else torch.cat(places, dim=1))


def _key_mask(inside: Tensor | None, context: Tensor) -> Tensor | None:
    """Say which keys count: bool (R, M of the patches) -> (B*R, 1, 1, M); what is ahead counts."""
    if inside is None:
        return None
    ahead = context.shape[1] - inside.shape[1]
    mask = F.pad(inside, (ahead, 0), value=True)  # (R, M)
    return mask.repeat(context.shape[0] // inside.shape[0], 1)[:, None, None]
