"""Which network: what its clips look like, and one `ModelConfig` wherever a model is named.

`ModelConfig` has no slots: jsonargparse reads the defaults by `vars`.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import (
    Blocks,
    Count,
    NotNegative,
    PartShare,
    Positive,
    Stride,
    Zoom,
    check_settings,
)
from stvit_video.settings.data import SamplingKind
from stvit_video.settings.grammar import (
    REDUCERS,
    ReducerConfig,
    SemanticConfig,
    parse_reducer,
    parse_semantic,
)
from stvit_video.settings.paths import WeightsSource

MOST_PIXELS = 2**26
"""Of a clip: 256 frames of 512 x 512, many times what a network reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What a clip must look like for a model; travels with its weights."""

    num_frames: Count
    """Frames of a clip."""
    frame_stride: Stride
    """Step between the frames of a clip, in frames of the video."""
    image_size: Count
    """Height and width of a crop, in pixels."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Per channel, for values in 0..1."""
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    """Per channel, for values in 0..1."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of the colour channels that the weights expect."""
    short_side: Zoom = 1.0
    """Short side of a frame before a test crops it, as a multiple of the crop."""
    sampling: SamplingKind = "dense"
    """Which frames a test reads, where no training says otherwise."""

    def __post_init__(self) -> None:
        check_settings("preprocessing", self)
        if self.num_frames * self.image_size**2 > MOST_PIXELS:
            raise ConfigError(
                f"a clip of num_frames ({self.num_frames}) x image_size ({self.image_size}) squared"
                f" must be at most {MOST_PIXELS} pixels"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, and how it differs from its table row."""

    name: str
    """As `stvit-video models` lists it."""
    semantic: str | None = None
    """Setting such as `8x4x4@4`: cluster to 8x4x4 tokens after block 4; `64@4`: to 64 tokens around
    centres chosen by content. None clusters nothing."""
    reduction: str | None = None
    """Another method in place of semantic tokens, such as `tome:r=65`; plain ViTs have it."""
    class_token: bool | None = None
    """Keep a class token; None keeps it in dense models that have one, and with `pretrained` as the
    weights have it: semantic models average their tokens, as in the paper."""
    attentive_blocks: Blocks | None = None
    """Blocks of an attentive pooler, which reads all tokens for the head: in the last a learned
    query reads them, in those before they read each other. 1 is V-JEPA's, 4 V-JEPA 2's, 0 pools as
    the model does; None does that, too, and with `pretrained` as the weights have it."""
    attentive_layers: tuple[Count, ...] | None = None
    """Blocks, counted from 1, behind each of which the attentive pooler reads all tokens, as
    18, 20, 22, 24 for Diving48 in V-JEPA 2; None reads those behind the last, and with `pretrained`
    as the card says."""
    num_frames: Count | None = None
    """Frames of a clip; None keeps those of the model."""
    frame_stride: Stride | None = None
    """Step between the frames of a clip, in frames of the video; None keeps that of the model."""
    image_size: Count | None = None
    """Height and width of a crop, in pixels; None keeps that of the model."""
    drop_path: PartShare = 0.0
    """Stochastic depth of the last block."""
    head_dropout: PartShare = 0.0
    """Share of what the head reads that training sets to zero."""
    head_init_scale: NotNegative = 1.0
    """Factor of the random weights that a new head begins with."""
    pretrained: WeightsSource | None = None
    """Weights to start from: a file, a run folder or a hub id."""
    pretrained_probe: WeightsSource | None = None
    """Pooler and head for them, where those are in a file of their own, as V-JEPA 2's are."""
    pretrained_entry: str | None = None
    """Entry of a file that holds several, such as `model_ema`; None takes the usual one and says
    which others there are."""

    def __post_init__(self) -> None:
        if isinstance(self.pretrained, bool):
            raise ConfigError(
                f"pretrained ({self.pretrained}) must be a file, a folder or a hub id such as"
                " MCG-NJU/videomae-base-finetuned-kinetics; leave it out for random weights"
            )
        check_settings("model", self)
        if self.pretrained_probe is not None and self.pretrained is None:
            raise ConfigError(
                f"pretrained_probe ({self.pretrained_probe}) reads the tokens of weights;"
                " give those as pretrained"
            )
        if self.pretrained_entry is not None and self.pretrained is None:
            raise ConfigError(
                f"pretrained_entry ({self.pretrained_entry}) is one of a file of weights; give that"
                " as pretrained"
            )
        if self.semantic is not None and self.reduction is not None:
            raise ConfigError(
                f"semantic ({self.semantic}) and reduction ({self.reduction}) exclude each other"
            )
        if self.semantic is not None:
            parse_semantic(self.semantic)
        if self.reduction is not None:
            parse_reducer(self.reduction)

    @property
    def units(self) -> tuple[SemanticConfig, ...]:
        """The semantic stages in order; none for a dense model."""
        return () if self.semantic is None else parse_semantic(self.semantic)

    @property
    def reducer(self) -> ReducerConfig | None:
        """The reducer, where there is one."""
        return None if self.reduction is None else parse_reducer(self.reduction)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelWord:
    """A model and its settings in one word, for comparisons."""

    text: str
    """As it was written; the label in tables."""
    config: ModelConfig
    """One of our models; of a peer only the name counts."""
    is_peer: bool = False
    """A model of another library as shipped, `library:model`."""
    fused: bool = False
    """For inference only, in fewer passes over memory: `stvit_video.fuse`."""


def parse_model(text: str) -> ModelWord:
    """Read `NAME[:SETTING...]`, parts joined by colons; whether there is such a model is not asked.

    A part is a semantic setting (`8x4x4@4,scope=tube`, `64@4`), a reducer (`tome:r=65`),
    `frames=32`, `stride=2`, `size=256`, `class_token` or `fused`. A peer is `library:model`, as in
    `torchvision:swin3d_t`.

    Raises:
        ConfigError: an unknown part, or one that is set twice.
    """
    name, *parts = text.split(":")
    if name in PEER_LIBRARIES:
        return ModelWord(text=text, config=ModelConfig(name=text), is_peer=True)
    found: dict[str, Any] = {}
    while parts:
        key, value = _read_part(text, parts)
        if key in found:
            raise ConfigError(f"model {text} sets {key} twice")
        found[key] = value
    fused = found.pop("fused", False)
    return ModelWord(text=text, config=ModelConfig(name=name, **found), fused=fused)


PEER_LIBRARIES = ("hf", "torchvision", "pytorchvideo", "timm")
"""Libraries whose models are compared with ours, by the word ahead of the colon."""

_NUMBERS = {"frames": "num_frames", "stride": "frame_stride", "size": "image_size"}


def _read_part(text: str, parts: list[str]) -> tuple[str, str | int | bool]:
    part = parts.pop(0)
    if re.match(r"(\d+x\d+x)?\d+@", part):
        return "semantic", part
    if part in REDUCERS:
        is_option = parts and parts[0].partition("=")[0] in REDUCERS[part] and "=" in parts[0]
        return "reduction", f"{part}:{parts.pop(0) if is_option else ''}"
    if part in ("class_token", "fused"):
        return part, True
    name, _, value = part.partition("=")
    if name in _NUMBERS and value.isdecimal():
        return _NUMBERS[name], int(value)
    raise ConfigError(
        f"model {text} has a part {part!r} that is none of TxHxW@BLOCK, COUNT@BLOCK, frames=N,"
        f" stride=N, size=N, class_token, fused, {', '.join(REDUCERS)}"
    )
