"""Run-length tokens (RLT, arXiv 2411.05222): a patch that does not change in time is kept once.

Training-free: chosen from the pixels before the first block, so the number of tokens depends on
the clip.

Legend: B clips, C colours, T H W frames and pixels, (t, h, w) token grid, N = t*h*w tokens, L the
most tokens that a clip of the batch keeps.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Runs(NamedTuple):
    """The tokens that begin a run; shorter clips of a batch are filled up."""

    token: Tensor  # (B, L) token number in (t h w) order, rising; fillers repeat the last token
    length: Tensor  # (B, L) tubelets that the token stands for; 0 for fillers


def changed_tubelets(
    clip: Tensor, *, tubelet_size: tuple[int, int, int], threshold: float
) -> Tensor:
    """Say which tubelets differ from the one before: clip (B, C, T, H, W) -> bool (B, t, h, w).

    The first frame of a tubelet is compared with the last frame of the next: mean absolute
    difference over its pixels and colours, in the units of the (normalised) clip. Tubelets of the
    first time step always count as changed.
    """
    frames, height, width = tubelet_size
    first, last = clip[:, :, ::frames], clip[:, :, frames - 1 :: frames]  # (B, C, t, H, W)
    change = (last[:, :, 1:] - first[:, :, :-1]).abs()
    cells = change.unflatten(4, (-1, width)).unflatten(3, (-1, height))  # (B,C,t-1,h,ph,w,pw)
    changed = cells.mean(dim=(1, 4, 6)) > threshold  # (B, t - 1, h, w)
    begin = changed.new_ones(changed.shape[0], 1, *changed.shape[2:])
    return torch.cat([begin, changed], dim=1)


def find_runs(changed: Tensor) -> Runs:
    """Encode bool (B, t, h, w), True where a run begins; the first time step must be True.

    Reads the longest count back to the host: the shape of the result depends on the data. A program
    of torch.export has one shape, and fills all clips up to N tokens.
    """
    num_steps = changed.shape[1]
    series = changed.flatten(2)  # (B, t, h*w)
    step = torch.arange(num_steps, device=changed.device)[None, :, None]
    begin = step.where(series, num_steps)  # (B, t, h*w)
    is_later = step.mT > step  # (1, t, t): of a step, and those behind it
    after = begin[:, None].where(is_later[..., None], num_steps).amin(dim=2)  # (B, t, h*w)
    length = ((after - step) * series).flatten(1)  # (B, N), 0 where no run begins
    counts = series.flatten(1).sum(dim=-1)  # (B,)
    token = torch.arange(length.shape[1], device=changed.device)
    order = token.where(series.flatten(1), token + len(token)).argsort(dim=-1)  # (B, N)
    longest = order.shape[1] if torch.compiler.is_exporting() else int(counts.max())
    order = order[:, :longest]
    is_filler = torch.arange(longest, device=changed.device) >= counts[:, None]  # (B, L)
    last = order.gather(1, counts[:, None] - 1)  # (B, 1)
    index = order.where(~is_filler, last)
    return Runs(index, length.gather(1, index).masked_fill(is_filler, 0))
