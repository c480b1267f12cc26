"""Cut a clip into stretches of time that are clustered on their own (scope `tube` and `frame`).

Legend: B clips, R regions, N = t*h*w tokens on the grid, L frames of tokens in the longest region,
M = L*h*w tokens in a region, D width.
"""

import torch
from torch import Tensor

from stvit_video.tokens.grid import Grid, split_class_token
from stvit_video.tokens.token_set import TokenSet
from stvit_video.tokens.windows import axis_windows, check_windows


class TimeRegions:
    """The tokens of a clip as R regions along time; R = 1 is the whole clip.

    Regions are adaptive windows: 5 frames in 2 regions are frames 0-2 and 2-4.
    """

    def __init__(self, grid: Grid, num_regions: int) -> None:
        check_windows(grid, Grid(num_regions, 1, 1))
        self.grid = grid
        self.num_regions = num_regions
        self.is_even = grid.t % num_regions == 0

    def split(self, tokens: Tensor) -> Tensor:
        """Bring regions into the batch: (B, N, D) -> (B*R, M, D)."""
        if self.is_even:
            return self.fold(tokens)
        index, _ = axis_windows(self.grid.t, self.num_regions, tokens.device)  # (R, L)
        frames = tokens.unflatten(1, (self.grid.t, -1))  # (B, t, h*w, D)
        return frames[:, index].flatten(2, 3).flatten(0, 1)  # (B*R, M, D)

    def inside(self, tokens: Tensor) -> Tensor | None:
        """Which of the split tokens are real: bool (R, M), or None where all of them are."""
        if self.is_even:
            return None
        _, inside = axis_windows(self.grid.t, self.num_regions, tokens.device)  # (R, L)
        return inside.repeat_interleave(self.grid.h * self.grid.w, dim=1)

    def merge_weights(self, weights: Tensor) -> Tensor:
        """Put per-region weights back on the clip: (B*R, Q, M) -> (B, R*Q, N), zero elsewhere.

        Tokens that only fill up a region are masked in attention: their weight is 0 already.
        """
        per_region = weights.unflatten(0, (-1, self.num_regions))  # (B, R, Q, M)
        batch, regions, queries, _ = per_region.shape
        frames = per_region.unflatten(-1, (-1, self.grid.h * self.grid.w))  # (B, R, Q, L, h*w)
        index, _ = axis_windows(self.grid.t, self.num_regions, weights.device)  # (R, L)
        whole = frames.new_zeros(batch, regions, queries, self.grid.t, frames.shape[-1])
        index = index[None, :, None, :, None].expand_as(frames)
        return whole.scatter_add(3, index, frames).flatten(3).flatten(1, 2)  # (B, R*Q, N)

    def fold(self, tokens: Tensor) -> Tensor:
        """Cut tokens in (t ...) order into R equal runs: (B, S, D) -> (B*R, S/R, D)."""
        return tokens.unflatten(1, (self.num_regions, -1)).flatten(0, 1)

    def unfold(self, tokens: Tensor) -> Tensor:
        """Undo `fold`: (B*R, S/R, D) -> (B, S, D)."""
        return tokens.unflatten(0, (-1, self.num_regions)).flatten(1, 2)

    def repeat(self, cls: Tensor) -> Tensor:
        """Give every region its copy of the class tokens: (B, P, D) -> (B*R, P, D)."""
        return cls.repeat_interleave(self.num_regions, dim=0)

    def average(self, cls: Tensor) -> Tensor:
        """Average the copies of the class tokens: (B*R, P, D) -> (B, P, D)."""
        return cls.unflatten(0, (-1, self.num_regions)).mean(dim=1)


def fold_frames(state: TokenSet) -> TokenSet:
    """Bring frames into the batch: (B, t*P + N, D) -> (B*t, P + h*w, D), on the grid of a frame.

    Places are the same in all frames and clips: (1, N, 3) -> (1, h*w, 3).
    """
    frames = TimeRegions(state.grid, state.grid.t)

    def fold(x: Tensor) -> Tensor:
        cls, patches = split_class_token(x, state.grid)
        folded = frames.fold(patches)  # (B*t, h*w, D)
        return torch.cat([frames.fold(cls), folded], dim=1) if cls.shape[1] else folded

    size = None if state.size is None else fold(state.size)
    frame = state.grid._replace(t=1)
    places = None if state.places is None else state.places[:, : frame.size]
    return TokenSet(fold(state.tokens), frame, size, places)


def unfold_frames(state: TokenSet, num_frames: int) -> TokenSet:
    """Undo `fold_frames`: (B*t, P + h*w, D) on the grid of one frame -> (B, t*P + N, D).

    Without places, which only the attention in frames reads.
    """
    whole = state.grid._replace(t=num_frames)
    frames = TimeRegions(whole, num_frames)

    def unfold(x: Tensor) -> Tensor:
        cls, patches = split_class_token(x, state.grid)
        unfolded = frames.unfold(patches)  # (B, N, D)
        return torch.cat([frames.unfold(cls), unfolded], dim=1) if cls.shape[1] else unfolded

    size = None if state.size is None else unfold(state.size)
    return TokenSet(unfold(state.tokens), whole, size)
