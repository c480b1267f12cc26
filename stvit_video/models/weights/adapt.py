"""Fit renamed weights to a network of another shape: inflate images, resize positions.

Legend: C colours, p patch size, tt frames of a tubelet, P class tokens (0 or 1), (t, h, w) token
grid, N = t*h*w patch tokens, D width.
"""

import re
from typing import Any, cast

import torch
from torch import Tensor, nn

from stvit_video.models.key_report import KeyReport
from stvit_video.models.layers.embed import PatchEmbed
from stvit_video.models.layers.positions import Resizing, resize_positions
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.weights.names import UNUSED, Weights
from stvit_video.tokens.grid import Grid


def adapt(
    weights: Weights, model: VideoModel, source_grid: Grid | None
) -> tuple[Weights, KeyReport]:
    """Fit weights to the model; the caller refuses what still does not fit.

    `source_grid` is the token grid that the weights were trained on, None where unknown.
    """
    adapted, report = dict(weights), KeyReport()
    target = model.state_dict()
    if model.recipe is not None and model.recipe.variant.fit is not None:
        model.recipe.variant.fit(adapted, model, report)
    _drop_reader(adapted, model, report)
    _inflate_patches(adapted, model, report)
    _drop_class_token(adapted, target, report)
    _fit_positions(adapted, model, target, source_grid, report)
    _fit_times(adapted, model, target, report)
    _start_temporal_attention(adapted, target, report)
    _start_temporal_encoder(adapted, target, report)
    _drop_unused(adapted, target, report)
    return adapted, report


def _drop_reader(weights: Weights, model: VideoModel, report: KeyReport) -> None:
    """Drop an attention pool, and the head behind it, where the model has another pooler."""
    had = [key for key in weights if key.startswith("reader.")]
    if had and model.reader is None:
        for key in (*had, "head.weight", "head.bias"):
            if weights.pop(key, None) is not None:
                report.dropped[key] = "another pooler wanted"


def central_frame(weight: Tensor, num_frames: int) -> Tensor:
    """Inflate a patch embedding: (D, C, p, p) -> (D, C, tt, p, p), zero but the middle frame."""
    inflated = weight.new_zeros(*weight.shape[:2], num_frames, *weight.shape[2:])
    inflated[:, :, num_frames // 2] = weight
    return inflated


def _inflate_patches(weights: Weights, model: nn.Module, report: KeyReport) -> None:
    for name, module in model.named_modules():
        key = f"{name}.proj.weight"
        if not isinstance(module, PatchEmbed) or key not in weights or weights[key].ndim != 4:
            continue
        num_frames = module.tubelet_size[0]
        if num_frames > 1:
            weights[key] = central_frame(weights[key], num_frames)
            report.changed[key] = f"inflated from an image to {num_frames} frames, the middle one"


def _drop_class_token(weights: Weights, target: Weights, report: KeyReport) -> None:
    for part in ("embed", "temporal"):
        token, positions = f"{part}.cls_token", f"{part}.pos_embed"
        if token not in weights or token in target:
            continue
        num_class_tokens = weights.pop(token).shape[1]
        report.dropped[token] = "the model averages its tokens"
        if positions in weights:
            weights[positions] = weights[positions][:, num_class_tokens:]  # (1, N, D)


def _fit_positions(
    weights: Weights, model: nn.Module, target: Weights, source_grid: Grid | None, report: KeyReport
) -> None:
    key = "embed.pos_embed"
    if key not in weights or key not in target:
        return
    embed = cast(Any, model.embed)
    has_frames = "embed.time_embed" in target or target[key].shape[1] < embed.native_grid.size
    grid = embed.native_grid._replace(t=1) if has_frames else embed.native_grid
    num_class_tokens = target[key].shape[1] - grid.size
    num_places = weights[key].shape[1] - num_class_tokens
    source = _guess_grid(num_places, grid, source_grid)
    if source is not None and source != grid:
        weights[key] = resize_positions(weights[key], source, grid, _resizing(model))
        report.changed[key] = f"resized from {source} to {grid}"


def _resizing(model: nn.Module) -> Resizing:
    return cast(Resizing, getattr(model.embed, "resizing", "smooth"))


def _guess_grid(num_places: int, grid: Grid, source_grid: Grid | None) -> Grid | None:
    """Find the grid of `num_places` positions: the known one, the model's own, or a square one.

    Positions of an image, of which no grid is known, may be one frame.
    """
    for known in (source_grid, grid):
        for candidate in (known, known and known._replace(t=1)):
            if candidate is not None and candidate.size == num_places:
                return candidate
    for num_steps in (1, grid.t) if source_grid is None else (grid.t,):
        side = round((num_places / num_steps) ** 0.5)
        if num_steps * side * side == num_places:
            return Grid(num_steps, side, side)
    return None


def _fit_times(weights: Weights, model: nn.Module, target: Weights, report: KeyReport) -> None:
    """Resize positions along time; those of an image do not exist and start at zero."""
    for key in ("embed.time_embed", "temporal.pos_embed"):
        if key not in target:
            continue
        if key == "embed.time_embed" and key not in weights:
            weights[key] = torch.zeros_like(target[key])
            report.new[key] = "images have no time: starts at zero"
        if key in weights and weights[key].shape[1] != target[key].shape[1]:
            num_class_tokens = int(key == "temporal.pos_embed" and "temporal.cls_token" in target)
            lengths = (x.shape[1] - num_class_tokens for x in (weights[key], target[key]))
            source, grid = (Grid(length, 1, 1) for length in lengths)
            weights[key] = resize_positions(weights[key], source, grid, _resizing(model))
            report.changed[key] = f"resized from {source.t} to {grid.t} steps"


def _start_temporal_attention(weights: Weights, target: Weights, report: KeyReport) -> None:
    """Start attention along time as the spatial one, and what it adds at zero.

    In the blocks that have none: all of them in the weights of an image, or of attention over all
    tokens, and those that were layers of a generator or a recovery.
    """
    known = {_block_of(key) for key in weights if ".temporal_" in key}
    spatial = {".temporal_norm1.": ".norm1.", ".temporal_attn.": ".attn."}
    has_map = any(".temporal_fc." in key for key in target)
    for key in target:
        name = next((part for part in spatial if part in key), None)
        if _block_of(key) in known:
            continue
        if ".temporal_fc." in key or (".temporal_attn.proj." in key and not has_map):
            weights[key] = torch.zeros_like(target[key], device="cpu")
            report.new[key] = "attention along time adds nothing at first"
        elif name is not None and (origin := key.replace(name, spatial[name])) in weights:
            weights[key] = weights[origin].clone()
            report.new[key] = "attention along time starts as a copy of the spatial one"


def _start_temporal_encoder(weights: Weights, target: Weights, report: KeyReport) -> None:
    """Leave the encoder over the frames as it was drawn, for weights that have none."""
    if not any(key.startswith("temporal.") for key in weights):
        for key in target:
            if key.startswith("temporal."):
                report.new[key] = "images have no encoder over time: to be trained"


def _block_of(key: str) -> str:
    """Return the block that a key belongs to: `blocks.3` of `blocks.3.temporal_fc.bias`."""
    return key.partition(".temporal_")[0]


def _drop_unused(weights: Weights, target: Weights, report: KeyReport) -> None:
    """Drop what the model has no use for, where there is a reason for it."""
    has_time = any(".temporal_" in key for key in target)
    for key, value in list(weights.items()):
        reason = None
        if key.startswith(UNUSED):
            reason = "no part of the classifier"
        elif ".generator." in key and (key not in target or value.shape != target[key].shape):
            reason = "semantic tokens of another setting"
        elif key not in target and has_time and re.match(r"blocks\.\d+\.temporal_", key):
            reason = "layers of a generator or a recovery have no attention along time"
        if reason is not None:
            del weights[key]
            report.dropped[key.removeprefix(UNUSED)] = reason
