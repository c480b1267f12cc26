"""Feature maps of our networks at several scales, as detectors read them; an image is a clip of
one frame.

Legend: B images, C colours, H W pixels, D width, h w places of a map, p side of a patch.
"""

import dataclasses
import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.families.swin.network import SwinTransformer
from stvit_video.models.network.video_model import VideoModel

STRIDES = (4, 8, 16, 32)
"""Pixels between the places of each map."""


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, D, h, w)."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SwinPyramid(nn.Module):
    """What each stage of a Swin network gives, normed: strides 4, 8, 16 and 32.

    Where semantic tokens are not recovered, each place takes the nearest of them.
    """

    def __init__(self, model: SwinTransformer, levels: Sequence[int] = range(4)) -> None:
        """Give the maps of some `levels`, counted from 0; the norm of the last is the model's."""
        super().__init__()
        if len(model.widths) != len(STRIDES):
            raise ConfigError(f"{model.name} must have {len(STRIDES)} stages to make a pyramid")
        self.model = model
        self.levels = tuple(levels)
        self.channels = [model.widths[level] for level in self.levels]
        own = [level for level in self.levels if level < len(STRIDES) - 1]
        self.norms = nn.ModuleDict({str(n): ChannelNorm(model.widths[n], eps=1e-5) for n in own})

    def clips(self, images: Tensor) -> Tensor:
        """Make what the network reads: images (B, C, H, W) -> clips (B, C, T, H, W)."""
        return _as_clips(images, self.model)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> maps (B, D, h, w), one a level; h and w are H and W over its stride."""
        maps = self.model.forward_pyramid(self.clips(images))
        height, width = (-(-side // STRIDES[0]) for side in images.shape[-2:])
        pyramid = []
        for level in self.levels:
            grid = (-(-height // 2**level), -(-width // 2**level))
            found = _fill(maps[level][:, :, 0], grid)
            norm = self.norms[str(level)] if str(level) in self.norms else nn.Identity()
            pyramid.append(norm(found))
        return pyramid


class PlainPyramid(nn.Module):
    """Maps of one plain ViT at several strides: the simple pyramid of ViTDet (arXiv 2203.16527).

    Patches whose side is no power of two are cut of an image that is smaller by as much, so that
    they stand for such a side of the image.
    """

    def __init__(self, model: VideoModel, levels: Sequence[int] = range(4)) -> None:
        """Give the maps of some `levels`, counted from 0."""
        super().__init__()
        self.model = model
        _, side, width = model.embed.patch.tubelet_size
        if side != width:
            raise ConfigError(f"{model.name} has patches of {side}x{width}; they must be square")
        self.patch_side = side
        self.stride = 2 ** round(math.log2(side))
        scalers = [_Scaler(model.dim, self.stride / STRIDES[level]) for level in levels]
        self.scalers = nn.ModuleList(scalers)
        self.channels = [scaler.channels for scaler in scalers]

    def clips(self, images: Tensor) -> Tensor:
        """Make what the network reads: images (B, C, H, W) -> clips (B, C, T, H, W), filled up."""
        bottom, right = (-side % STRIDES[-1] for side in images.shape[-2:])
        images = F.pad(images, (0, right, 0, bottom))
        if self.patch_side != self.stride:
            size = [side // self.stride * self.patch_side for side in images.shape[-2:]]
            images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        return _as_clips(images, self.model)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> maps (B, D, h, w), one a level; h and w are H and W over its stride."""
        clips = self.clips(images)
        maps = self.model.forward_features(clips)
        if maps.ndim != 5 or maps.shape[2] != 1:
            raise ConfigError(f"{self.model.name} keeps no map of the places of an image")
        h, w = (side // self.patch_side for side in clips.shape[-2:])
        found = _fill(maps[:, :, 0], (h, w))
        return [scale(found) for scale in self.scalers]


class _Scaler(nn.Sequential):
    """Brings a map of D channels to another scale: transposed convolutions, or a pooling."""

    def __init__(self, dim: int, factor: float) -> None:
        steps: list[nn.Module] = []
        channels = dim
        for _ in range(max(round(math.log2(factor)), 0)):
            if steps:
                steps += [ChannelNorm(channels, eps=1e-6), nn.GELU()]
            steps.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
            channels //= 2
        if factor < 1:
            steps.append(nn.MaxPool2d(round(1 / factor)))
        super().__init__(*steps)
        self.channels = channels


def build_pyramid(model: VideoModel, levels: Sequence[int]) -> SwinPyramid | PlainPyramid:
    """Make the pyramid of a network.

    Raises:
        ConfigError: its tokens have no places on a map.
    """
    if isinstance(model, SwinTransformer):
        return SwinPyramid(model, levels)
    check_keeps_map(model)
    return PlainPyramid(model, levels)


def check_keeps_map(model: VideoModel) -> None:
    """Refuse a network whose tokens leave their places.

    Raises:
        ConfigError: naming the setting, and what would do.
    """
    setting = model.recipe.options if model.recipe is not None else None
    if setting is not None and setting.reducer is not None:
        raise ConfigError(
            f"reduction {setting.reducer} leaves no map of the places; detectors take"
            " semantic tokens, or none"
        )
    last = setting.semantic[-1] if setting is not None and setting.semantic else None
    if last is not None and last.centers == "far" and last.until is None:
        recovered = dataclasses.replace(last, until=len(model.blocks))
        raise ConfigError(
            f"semantic setting {last} leaves no map of the places; recover them, such"
            f" as by {recovered}"
        )


def _as_clips(images: Tensor, model: VideoModel) -> Tensor:
    """Make clips of one tubelet, each frame the image: (B, C, H, W) -> (B, C, T, H, W)."""
    if model.preprocessing.channel_order == "bgr":
        images = images.flip(1)
    num_frames = model.embed.patch.tubelet_size[0]
    return images[:, :, None].expand(-1, -1, num_frames, -1, -1)


def _fill(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring semantic tokens that were not recovered to the places: the nearest of them."""
    if tuple(maps.shape[-2:]) == grid:
        return maps
    return F.interpolate(maps, size=grid, mode="nearest")
