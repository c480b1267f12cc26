"""Fit renamed Swin weights to a network with more frames or other windows.

Legend: C colours, p patch size, tt frames of a tubelet, D width, R offsets in a table, h heads.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from stvit_video.models.families.swin.block import SwinBlock
from stvit_video.models.families.swin.embed import ConvStem, SwinEmbed
from stvit_video.models.key_report import KeyReport
from stvit_video.models.weights.names import Weights

PATCHES = "embed.patch.proj.weight"
STEM = "embed.patch.proj.0.weight"


def fit_swin(weights: Weights, model: nn.Module, report: KeyReport) -> None:
    """Inflate patches, stem and bias tables of an image Swin, as Video Swin does.

    The first weights are shared among the frames of a tubelet, tables repeated along time. A dense
    Swin fills the layers of STViT-R that it has, its blocks, and leaves the others to be trained.
    """
    changed = report.changed
    embed = getattr(model, "embed", None)
    if isinstance(embed, SwinEmbed) and PATCHES in weights and weights[PATCHES].ndim == 4:
        num_frames = embed.patch.tubelet_size[0]
        if num_frames > 1:
            weights[PATCHES] = share_among_frames(weights[PATCHES], num_frames)
            changed[PATCHES] = f"inflated from an image to {num_frames} frames, equal shares"
    stem = getattr(embed, "patch", None)
    if isinstance(stem, ConvStem) and STEM in weights:
        num_frames = stem.tubelet_size[0]
        if num_frames > 1 and weights[STEM].shape[1] == stem.num_channels:
            weights[STEM] = share_among_frames(weights[STEM], num_frames).flatten(1, 2)
            changed[STEM] = f"inflated from an image to {num_frames} frames, equal shares"
    if isinstance(stem, ConvStem) and STEM not in weights:
        _fit_dense(weights, model, report)
    _fit_tables(weights, model, report)


def share_among_frames(weight: Tensor, num_frames: int) -> Tensor:
    """Inflate a convolution: (D, C, p, p) -> (D, C, tt, p, p), an equal share in every frame."""
    return weight[:, :, None].repeat(1, 1, num_frames, 1, 1) / num_frames


def inflate_table(table: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Fit the table of a square image window to a window: (R, h) -> (R, h), repeated along time.

    Another side than the window's is interpolated.
    """
    t, h, w = window
    side = round(table.shape[0] ** 0.5)
    if (side, side) != (2 * h - 1, 2 * w - 1):
        square = table.T.unflatten(1, (side, side))[None].float()  # (1, h, side, side)
        size = (2 * h - 1, 2 * w - 1)
        square = F.interpolate(square, size=size, mode="bicubic", align_corners=True)
        table = square[0].flatten(1).T.to(table.dtype)
    return table.repeat(2 * t - 1, 1)


def _fit_dense(weights: Weights, model: nn.Module, report: KeyReport) -> None:
    """Leave out the patches of a dense Swin, and what only STViT-R has as it was drawn."""
    for key in [key for key in weights if key.startswith("embed.")]:
        del weights[key]
        report.dropped[key] = "STViT-R begins with convolutions"
    for key in model.state_dict():
        if key.startswith("embed."):
            report.new[key] = "convolutions in place of patches, to be trained"
        elif key.endswith(("scale1.gamma", "scale2.gamma")):
            report.new[key] = "scale of a branch that a dense block has not"


def _fit_tables(weights: Weights, model: nn.Module, report: KeyReport) -> None:
    for name, module in model.named_modules():
        key = f"{name}.attn.relative_position_bias_table"
        if not isinstance(module, SwinBlock) or key not in weights:
            continue
        window = module.plan.table
        if window is None:
            del weights[key]
            report.dropped[key] = "the layers of this unit have no position bias"
            continue
        wanted, found = module.attn.relative_position_bias_table, weights[key]
        side = round(found.shape[0] ** 0.5)
        if wanted is not None and wanted.shape != found.shape and side * side == found.shape[0]:
            weights[key] = inflate_table(found, window)
            is_other = side != 2 * window[1] - 1
            resized = f"interpolated for a window of {window[1]}, and " if is_other else ""
            report.changed[key] = f"{resized}repeated along time, from {side} x {side} offsets"
