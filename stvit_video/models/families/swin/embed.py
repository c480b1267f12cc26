"""Clip to tokens for Swin: patches of any clip, padded, or the convolution stem of STViT-R.

Legend: B clips, C colours, T H W frames and pixels, (t, h, w) token grid, N = t*h*w, D width.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stvit_video.models.layers.embed import PatchEmbed, check_clip
from stvit_video.tokens.grid import Grid


class PaddedPatchEmbed(PatchEmbed):
    """Patch embedding that fills up the last patches of any clip with zeros."""

    def grid(self, num_frames: int, height: int, width: int) -> Grid:
        """Return the token grid of a clip."""
        return padded_token_grid((num_frames, height, width), self.tubelet_size)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, N, D), grid."""
        check_clip(clip, self.num_channels)
        return super().forward(pad_clip(clip, self.tubelet_size))


class SwinEmbed(nn.Module):
    """Patches and a norm."""

    def __init__(self, dim: int, *, tubelet_size: tuple[int, int, int]) -> None:
        super().__init__()
        self.patch = PaddedPatchEmbed(dim, tubelet_size=tubelet_size)
        self.norm = nn.LayerNorm(dim, eps=1e-5)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, N, D), grid."""
        tokens, grid = self.patch(clip)
        return self.norm(tokens), grid


class ConvStem(nn.Module):
    """Convolutions in place of patches: 3x3 with stride 2, batch norm and Hardswish, twice.

    The frames of a tubelet are channels of the first convolution, so a clip is a batch of frames.
    """

    def __init__(self, dim: int, *, num_frames: int, num_channels: int = 3) -> None:
        super().__init__()
        self.tubelet_size = (num_frames, 4, 4)
        self.num_channels = num_channels
        self.proj = nn.Sequential(
            nn.Conv2d(num_channels * num_frames, dim // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(dim // 2),
            nn.Hardswish(),
            nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(dim),
            nn.Hardswish(),
        )

    def grid(self, num_frames: int, height: int, width: int) -> Grid:
        """Return the token grid of a clip."""
        return padded_token_grid((num_frames, height, width), self.tubelet_size)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, N, D), grid."""
        check_clip(clip, self.num_channels)
        clip = pad_clip(clip, self.tubelet_size)
        grid = self.grid(*clip.shape[2:])
        frames = rearrange(clip, "b c (t x) h w -> (b t) (c x) h w", t=grid.t)
        return rearrange(self.proj(frames), "(b t) d h w -> b (t h w) d", t=grid.t), grid


class ConvEmbed(nn.Module):
    """The convolution stem where `SwinEmbed` has patches."""

    def __init__(self, dim: int, *, num_frames: int) -> None:
        super().__init__()
        self.patch = ConvStem(dim, num_frames=num_frames)

    def forward(self, clip: Tensor) -> tuple[Tensor, Grid]:
        """Embed: clip (B, C, T, H, W) -> tokens (B, N, D), grid."""
        return self.patch(clip)


def padded_token_grid(size: tuple[int, int, int], tubelet_size: tuple[int, int, int]) -> Grid:
    """Count tubelets, the last ones padded, of T frames of H x W pixels."""
    t, h, w = (-(-n // step) for n, step in zip(size, tubelet_size, strict=True))
    return Grid(t, h, w)


def pad_clip(clip: Tensor, tubelet_size: tuple[int, int, int]) -> Tensor:
    """Fill up (B, C, T, H, W) with zeros to whole tubelets."""
    t, h, w = (-n % step for n, step in zip(clip.shape[2:], tubelet_size, strict=True))
    return F.pad(clip, (0, w, 0, h, 0, t)) if t or h or w else clip
