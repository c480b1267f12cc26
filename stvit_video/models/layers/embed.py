"""Clip to tokens: cut into tubelets, project, add class token and positions.

Legend: B clips, C colours, T H W frames and pixels, P class tokens (0 or 1), (t, h, w) token grid,
N = t*h*w patch tokens, D width.
"""

from typing import Any, Literal, Protocol

import torch
from einops import rearrange
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.layers.positions import Resizing, resize_positions, sinusoid_positions
from stvit_video.tokens.grid import Grid, split_class_token

Positions = Literal["learned", "sinusoid"]


class Embed(Protocol):
    """What a network begins with."""

    @property
    def patch(self) -> Any:
        """What cuts a clip: it has `tubelet_size` and `grid(num_frames, height, width)`."""

    def __call__(self, clip: Tensor) -> tuple[Any, ...]:
        """Embed: clip (B, C, T, H, W) -> what a `TokenSet` is made of, tokens and grid at least."""


class VitEmbed(Embed, Protocol):
    """What plain ViTs and their kin begin with."""

    @property
    def native_grid(self) -> Grid:
        """The token grid of the clips that it is built for."""

    @property
    def cls_token(self) -> nn.Parameter | None:
        """(1, P, D), where there is one."""


def check_clip(clip: Tensor, num_channels: int) -> None:
    """Refuse what is no clip (B, C, T, H, W).

    Raises:
        ConfigError: the clip has other axes, or stands for one while torch.fx traces.
    """
    if isinstance(clip, torch.fx.Proxy):
        raise ConfigError(
            "torch.fx cannot trace this network, so neither can torchvision's"
            " create_feature_extractor; use model.forward_features(clip), a forward hook on a"
            " block, or torch.export.export"
        )
    if clip.ndim != 5 or clip.shape[1] != num_channels:
        seen = f"axis 1 has {clip.shape[1]}" if clip.ndim == 5 else f"it has {clip.ndim} axes"
        raise ConfigError(
            f"clip {tuple(clip.shape)} must be (B, C, T, H, W) with C = {num_channels}; {seen}"
        )


class PatchEmbed(nn.Module):
    """Projects tubelets as a reshape and one linear layer.

    A Conv3d with stride = kernel computes the same, but cuDNN takes 9 times as long in bf16 on an
    H200. Weights of Conv3d (D, C, tt, p, p), and of Conv2d (D, C, p, p) where tt = 1, load as
    they are.
    """

    def __init__(
        self, dim: int, *, tubelet_size: tuple[int, int, int], num_channels: int = 3
    ) -> None:
        super().__init__()
        self.tubelet_size = tubelet_size
        self.num_channels = num_channels
        t, h, w = tubelet_size
        self.proj = nn.Linear(num_channels * t * h * w, dim)
        self.register_load_state_dict_pre_hook(_flatten_convolution)

    def grid(self, num_frames: int, height: int, width: int) -> Grid:
        """Return the token grid of a clip.

        Raises:
            ConfigError: a side is not a multiple of the tubelet's.
        """
        sizes = (num_frames, height, width)
        names = ("num_frames", "height", "width")
        for name, size, step in zip(names, sizes, self.tubelet_size, strict=True):
            if size % step or size < step:
                raise ConfigError(f"{name} ({size}) must be a multiple of {step}, the tubelet's")
        t, h, w = (size // step for size, step in zip(sizes, self.tubelet_size, strict=True))
        return Grid(t, h, w)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, N, D), grid.

        Raises:
            ConfigError: the clip has other axes.
        """
        check_clip(clip, self.num_channels)
        grid = self.grid(*clip.shape[2:])
        t, h, w = self.tubelet_size
        tubelets = rearrange(
            clip, "b c (t x) (h y) (w z) -> b (t h w) (c x y z)", x=t, y=h, z=w
        )  # (B, N, C*tt*p*p)
        return self.proj(tubelets), grid


class ClipEmbed(nn.Module):
    """Patch embedding, class token where there is one, and positions over the whole grid.

    Distilled DeiTs have two class tokens, kept as one parameter. A fixed table is computed for the
    model's grid, or for `table_grid` (t, h, w) and resized to it.
    """

    def __init__(
        self,
        dim: int,
        *,
        tubelet_size: tuple[int, int, int],
        native_size: tuple[int, int, int],
        has_class_token: bool,
        positions: Positions,
        num_class_tokens: int = 1,
        table_grid: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.patch = PatchEmbed(dim, tubelet_size=tubelet_size)
        self.native_grid = self.patch.grid(*native_size)
        num_class_tokens *= int(has_class_token)
        self.cls_token = (
            nn.Parameter(torch.empty(1, num_class_tokens, dim)) if has_class_token else None
        )
        if positions == "learned":
            num_positions = num_class_tokens + self.native_grid.size
            self.pos_embed = nn.Parameter(torch.empty(1, num_positions, dim))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        else:
            source = self.native_grid if table_grid is None else Grid(*table_grid)
            table = sinusoid_positions(num_class_tokens + source.size, dim)
            table = resize_positions(table, source, self.native_grid)
            self.register_buffer("pos_embed", table, persistent=False)
        if self.cls_token is not None:
            nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, P + N, D), grid."""
        tokens, grid = self.patch(clip)  # (B, N, D)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return tokens + resize_positions(self.pos_embed, self.native_grid, grid), grid


class FrameEmbed(nn.Module):
    """Patch embedding, positions of one frame, which all frames share, and positions along time.

    With `per_frame`, every frame has its copy of the class token, and there are no positions along
    time: the stages that follow see one frame alone. Otherwise the clip has one class token, which
    has a place in space only.
    """

    def __init__(
        self,
        dim: int,
        *,
        tubelet_size: tuple[int, int, int],
        native_size: tuple[int, int, int],
        has_class_token: bool,
        per_frame: bool,
        resizing: Resizing,
    ) -> None:
        super().__init__()
        self.patch = PatchEmbed(dim, tubelet_size=tubelet_size)
        self.native_grid = self.patch.grid(*native_size)
        self.resizing: Resizing = resizing
        t, h, w = self.native_grid
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim)) if has_class_token else None
        self.pos_embed = nn.Parameter(torch.empty(1, int(has_class_token) + h * w, dim))
        self.time_embed = None if per_frame else nn.Parameter(torch.empty(1, t, dim))
        for table in (self.cls_token, self.pos_embed, self.time_embed):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, P + N, D), or (B, t*P + N, D); grid."""
        tokens, grid = self.patch(clip)  # (B, N, D)
        native_t, *native_frame = self.native_grid
        places = resize_positions(
            self.pos_embed, Grid(1, *native_frame), grid._replace(t=1), self.resizing
        )
        cls_place, places = split_class_token(places, grid._replace(t=1))  # (1, P, D), (1, h*w, D)
        tokens = tokens.unflatten(1, (grid.t, -1)) + places  # (B, t, h*w, D)
        num_copies = grid.t
        if self.time_embed is not None:
            times = resize_positions(
                self.time_embed, Grid(native_t, 1, 1), Grid(grid.t, 1, 1), self.resizing
            )
            tokens = tokens + times[:, :, None]
            num_copies = 1
        tokens = tokens.flatten(1, 2)  # (B, N, D)
        if self.cls_token is not None:
            cls = (self.cls_token + cls_place).expand(tokens.shape[0], num_copies, -1)
            tokens = torch.cat([cls, tokens], dim=1)
        return tokens, grid


class PlacedEmbed(nn.Module):
    """Patch embedding, and where each patch sits for attention to read: V-JEPA 2 has no table.

    Places are steps of the grid, whatever its size. A clip shorter than a tubelet is repeated, so
    that an image has tokens, too.
    """

    cls_token = None

    def __init__(
        self, dim: int, *, tubelet_size: tuple[int, int, int], native_size: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.patch = PatchEmbed(dim, tubelet_size=tubelet_size)
        self.native_grid = self.patch.grid(*native_size)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid, None, Tensor]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, N, D), grid, no sizes, places (1, N, 3)."""
        check_clip(clip, self.patch.num_channels)
        if clip.shape[2] < self.patch.tubelet_size[0]:
            clip = clip.repeat(1, 1, self.patch.tubelet_size[0], 1, 1)
        tokens, grid = self.patch(clip)
        return tokens, grid, None, grid_places(grid, device=tokens.device)


class OffsetEmbed(PlacedEmbed):
    """The same with an offset that says video or picture, and places of a fixed span.

    That is V-JEPA 2.1: whatever the size of a clip, its places along height and width are spread
    evenly from 0 to those of the last patch of 256 pixels; along time they are steps.
    """

    def __init__(
        self, dim: int, *, tubelet_size: tuple[int, int, int], native_size: tuple[int, int, int]
    ) -> None:
        super().__init__(dim, tubelet_size=tubelet_size, native_size=native_size)
        self.offset = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.normal_(self.offset, std=1e-6)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid, None, Tensor]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, N, D), grid, no sizes, places (1, N, 3)."""
        tokens, grid = self.patch(clip)
        last = 256 // self.patch.tubelet_size[1] - 1
        places = grid_places(grid, device=tokens.device, last=last)
        return tokens + self.offset, grid, None, places


def grid_places(grid: Grid, *, device: torch.device, last: int | None = None) -> Tensor:
    """Return where the tokens of a grid sit along time, height and width: float32 (1, N, 3).

    In steps of the grid; with `last` rows and columns are spread evenly from 0 to it.
    """
    axes = [torch.arange(length, device=device, dtype=torch.float32) for length in grid]
    if last is not None:
        axes[1:] = [axis * (last / max(axis.shape[0] - 1, 1)) for axis in axes[1:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)[None]


def _flatten_convolution(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Accept the weight of a convolution: (D, C, [tt,] p, p) -> (D, C*tt*p*p)."""
    name = f"{prefix}proj.weight"
    if name in state_dict and state_dict[name].ndim > 2:
        state_dict[name] = state_dict[name].flatten(1)
