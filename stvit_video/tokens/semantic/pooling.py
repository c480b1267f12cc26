"""Initial centres: every window of the token grid becomes one semantic token.

Legend: B clips, (t, h, w) token grid, N = t*h*w tokens, S windows = semantic tokens, L tokens in
a window, D width.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.settings.grammar import PoolingName
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.windows import check_windows, grid_windows, window_bounds


def build_pooling(name: PoolingName, dim: int) -> nn.Module:
    """Make a pooling (tokens (B, N, D), grid, semantic grid) -> centres (B, S, D)."""
    match name:
        case "max":
            return MaxPooling()
        case "avg":
            return AveragePooling()
        case "learned":
            return LearnedPooling(dim)


class MaxPooling(nn.Module):
    """The largest value of each channel in a window, as in the released STViT-R code."""

    def forward(self, tokens: Tensor, grid: Grid, semantic_grid: Grid) -> Tensor:
        """Pool: tokens (B, N, D) -> centres (B, S, D)."""
        return _pool(tokens, grid, semantic_grid, torch.amax)


class AveragePooling(nn.Module):
    """The mean of a window."""

    def forward(self, tokens: Tensor, grid: Grid, semantic_grid: Grid) -> Tensor:
        """Pool: tokens (B, N, D) -> centres (B, S, D)."""
        return _pool(tokens, grid, semantic_grid, torch.mean)


class LearnedPooling(nn.Module):
    """Intra- and inter-window pooling of the paper: a mask over each window, and an offset.

    A small head (depthwise convolution, norm, GELU, pointwise convolution) predicts, per token, a
    mask logit and a displacement. Inside a window the softmax of the mask weighs the tokens
    (intra); the window's mean displacement, at most one window long, moves all of its sampling
    points (inter). With a mask of zeros and no offset this is the average of the window.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv3d(dim, dim, kernel_size=3, padding=1, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.pointwise = nn.Linear(dim, 4)
        nn.init.trunc_normal_(self.pointwise.weight, std=0.02)
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, tokens: Tensor, grid: Grid, semantic_grid: Grid) -> Tensor:
        """Pool: tokens (B, N, D) -> centres (B, S, D)."""
        check_windows(grid, semantic_grid)
        hidden = _convolve(tokens.unflatten(1, tuple(grid)), self.depthwise).flatten(1, 3)
        predicted = self.pointwise(F.gelu(self.norm(hidden)))  # (B, N, 4)
        index, inside = grid_windows(grid, semantic_grid, tokens.device)  # (S, L) each
        predicted = predicted[:, index].float()  # (B, S, L, 4)
        mask = predicted[..., 0].masked_fill(~inside, -torch.inf).softmax(dim=-1)  # (B, S, L)
        share = inside / inside.sum(dim=-1, keepdim=True)  # (S, L)
        offset = (predicted[..., 1:] * share[..., None]).sum(dim=2).tanh()  # (B, S, 3)
        moves = [offset[..., axis] * grid[axis] / semantic_grid[axis] for axis in range(3)]
        volume = tokens.transpose(1, 2).unflatten(2, tuple(grid))  # (B, D, t, h, w)
        samples = _sample(volume, _positions(index, grid) + torch.stack(moves, -1)[:, :, None])
        return (samples * mask[..., None].to(samples.dtype)).sum(dim=2)  # (B, S, D)


def _convolve(volume: Tensor, conv: nn.Conv3d) -> Tensor:
    """Run a depthwise convolution of 3 x 3 x 3 with borders of zeros: (B, t, h, w, D) -> the same.

    In planes, one for each of its three moments: cuDNN takes 3.5 to 5 times as long for the whole.
    """
    frames = volume.permute(0, 1, 4, 2, 3).flatten(0, 1)  # (B*t, D, h, w)
    before, now, after = (
        F.conv2d(frames, plane, padding=1, groups=frames.shape[1]).unflatten(0, volume.shape[:2])
        for plane in conv.weight.unbind(2)
    )  # (B, t, D, h, w) each
    assert conv.bias is not None
    before = F.pad(before[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    after = F.pad(after[:, 1:], (0, 0, 0, 0, 0, 0, 0, 1))
    return (before + now + after + conv.bias[:, None, None]).permute(0, 1, 3, 4, 2)


def _pool(tokens: Tensor, grid: Grid, semantic_grid: Grid, reduce: Callable[..., Tensor]) -> Tensor:
    check_windows(grid, semantic_grid)
    t, h, w = semantic_grid
    if all(n % k == 0 for n, k in zip(grid, semantic_grid, strict=True)):
        cells = tokens.unflatten(1, (t, grid.t // t, h, grid.h // h, w, grid.w // w))
        return reduce(cells, dim=(2, 4, 6)).flatten(1, 3)  # (B, S, D)
    volume = tokens.unflatten(1, tuple(grid))  # (B, t, h, w, D)
    for axis, (length, num_windows) in enumerate(zip(grid, semantic_grid, strict=True), start=1):
        if length % num_windows == 0:
            volume = reduce(volume.unflatten(axis, (num_windows, -1)), dim=axis + 1)
            continue
        windows = [
            reduce(volume.narrow(axis, start, stop - start), dim=axis, keepdim=True)
            for start, stop in window_bounds(length, num_windows)
        ]
        volume = torch.cat(windows, dim=axis)
    return volume.flatten(1, 3)  # (B, S, D)


def _positions(index: Tensor, grid: Grid) -> Tensor:
    """Token index (S, L) -> its place (S, L, 3) along time, height and width."""
    frame, w = index // grid.w, index % grid.w
    return torch.stack([frame // grid.h, frame % grid.h, w], dim=-1)


def _sample(volume: Tensor, positions: Tensor) -> Tensor:
    """Read (B, D, t, h, w) at fractional places (B, S, L, 3), trilinearly -> (B, S, L, D).

    Places outside the grid read its border.
    """
    sizes = volume.shape[2:]
    # token centres in -1..1, as grid_sample wants them: (B, S, L, 1, 3) in (w, h, t) order
    centred = [(2 * positions[..., axis] + 1) / sizes[axis] - 1 for axis in (2, 1, 0)]
    places = torch.stack(centred, dim=-1)[:, :, :, None]
    samples = F.grid_sample(
        volume, places.to(volume.dtype), padding_mode="border", align_corners=False
    )  # (B, D, S, L, 1)
    return samples.squeeze(-1).permute(0, 2, 3, 1)  # (B, S, L, D)
