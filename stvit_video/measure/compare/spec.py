"""A model and its setting in one word, `videomae_base_patch16_224:8x4x4@4`, for comparisons."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.measure.compare.peers import PEERS, create_peer
from stvit_video.models.network.fuse import fuse
from stvit_video.models.registry import create_model, find_variant
from stvit_video.settings.model import Preprocessing
from stvit_video.tokens.reducers.table import METHODS, parse_reduction


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """What to build: one of our models and its setting, or a peer as shipped."""

    text: str
    """As it was written; the label in tables."""
    name: str
    """In our registry, or `library:model` of a peer."""
    semantic: str | None = None
    reduction: str | None = None
    num_frames: int | None = None
    """Frames of a clip; None as the model has them."""
    image_size: int | None = None
    """Pixels; None as the model has them."""
    class_token: bool | None = None
    fused: bool = False
    """For inference only, in fewer passes over memory: `models.fuse`."""


def parse_spec(text: str) -> ModelSpec:
    """Read `NAME[:SETTING...]`, parts joined by colons.

    A part is a semantic setting (`8x4x4@4,scope=tube`), a rival (`tome:r=65`), `frames=32`,
    `size=256`, `class_token` or `fused`. A peer is `library:model`, as in `torchvision:swin3d_t`.

    Raises:
        ConfigError: an unknown model, peer or part.
    """
    if text.split(":")[0] in {name.split(":")[0] for name in PEERS}:
        if text not in PEERS:
            create_peer(text)  # raises with the known names
        return ModelSpec(text=text, name=text)
    name, *parts = text.split(":")
    find_variant(name)
    found: dict[str, str | int | bool] = {}
    while parts:
        key, value = _read_part(text, parts)
        if key in found:
            raise ConfigError(f"model {text} sets {key} twice")
        found[key] = value
    return ModelSpec(text=text, name=name, **found)  # type: ignore[arg-type]


def build_spec(spec: ModelSpec, *, num_classes: int | None = None) -> nn.Module:
    """Build the model with random weights, on the device of the surrounding `torch.device`."""
    if spec.name in PEERS:
        return create_peer(spec.name)
    model = create_model(
        spec.name,
        num_classes=num_classes,
        semantic=spec.semantic,
        reduction=spec.reduction,
        num_frames=spec.num_frames,
        image_size=spec.image_size,
        class_token=spec.class_token,
    )
    return fuse(model) if spec.fused else model


def example_clips(model: nn.Module, batch_size: int) -> Tensor:
    """Make clips (B, C, T, H, W) of the model's size: a textured square that moves over noise.

    What stands still repeats from frame to frame, so methods that skip it find something.
    """
    wanted = model.preprocessing
    assert isinstance(wanted, Preprocessing)
    size = wanted.image_size
    generator = torch.Generator(device="cpu").manual_seed(0)
    still = torch.randn(batch_size, 3, 1, size, size, generator=generator, device="cpu")
    clips = still.repeat(1, 1, wanted.num_frames, 1, 1)
    side = size // 2
    square = torch.randn(batch_size, 3, side, side, generator=generator, device="cpu")
    for frame in range(wanted.num_frames):
        x = (size - side) * frame // max(wanted.num_frames - 1, 1)
        clips[:, :, frame, side // 2 : side // 2 + side, x : x + side] = square
    return clips


def _read_part(text: str, parts: list[str]) -> tuple[str, str | int | bool]:
    part = parts.pop(0)
    if re.match(r"\d+x\d+x\d+@", part):
        return "semantic", part
    if part in METHODS:
        options = parts.pop(0) if parts and _is_option(parts[0], part) else ""
        reduction = f"{part}:{options}"
        parse_reduction(reduction)
        return "reduction", reduction
    if part in ("class_token", "fused"):
        return part, True
    name, _, value = part.partition("=")
    if name in ("frames", "size") and value.isdigit():
        return ("num_frames" if name == "frames" else "image_size"), int(value)
    raise ConfigError(
        f"model {text} has a part {part!r} that is none of TxHxW@BLOCK, frames=N, size=N,"
        f" class_token, fused, {', '.join(METHODS)}"
    )


def _is_option(part: str, method: str) -> bool:
    return "=" in part and part.partition("=")[0] in METHODS[method]
