"""Every setting of a run, as frozen dataclasses; imports no torch, so `--help` stays instant.
Sections of `RunConfig` have no slots: jsonargparse reads their defaults by `vars`."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from stvit_video.errors import ConfigError, did_you_mean

Scope = Literal["clip", "tube", "frame"]
PoolingName = Literal["max", "avg", "learned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What a clip must look like for a model; travels with its weights."""

    num_frames: int
    """Frames of a clip."""
    frame_stride: int
    """Step between the frames of a clip, in frames of the video."""
    image_size: int
    """Height and width of a crop, in pixels."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Per channel, for values in 0..1."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Per channel, for values in 0..1."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of the colour channels that the weights expect."""


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """What training does to the pixels of a clip, the same for all its frames."""

    crop: Literal["random_resized", "scale_jitter", "center"] = "random_resized"
    """`random_resized`: a part of the frame by area and shape. `scale_jitter`: a random short
    side, then a square at a random place. `center`: as evaluation does."""
    crop_area: tuple[float, float] = (0.5, 1.0)
    """Share of the frame that a `random_resized` crop covers, least and most."""
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    """Width over height of a `random_resized` crop, least and most."""
    scale_jitter: tuple[float, float] = (256 / 224, 320 / 224)
    """Short side before a `scale_jitter` crop, least and most, as a multiple of the crop."""
    flip: float = 0.5
    """Probability of a horizontal flip; `left` in a class name then becomes `right`."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation; hue changes by a quarter."""
    rand_augment: str = ""
    """Setting such as `rand-m7-n4-mstd0.5-inc1`; empty for none. One draw per clip."""
    erase: float = 0.0
    """Probability of erasing one box from all frames of a clip; runs on the device."""
    mixup: float = 0.0
    """Alpha of mixup, on the device; 0 for none."""
    cutmix: float = 0.0
    """Alpha of cutmix, on the device; 0 for none."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SemanticConfig:
    """Where and how a network clusters its tokens; written `8x4x4@4[-N][,key=value...]`."""

    grid: tuple[int, int, int]
    """Semantic tokens along time, height and width."""
    after: int
    """Blocks that run on all patch tokens before the clustering."""
    until: int | None = None
    """Recover the patch tokens with block number `until`, counted from 1; None never does."""
    scope: Scope = "clip"
    """What a semantic token may read: the whole clip, its tube of frames, or its one frame."""
    pool: PoolingName = "max"
    """How the initial centres are pooled from their windows."""
    layers: int = 2
    """Blocks that become layers of the generator."""
    shortcut: bool = True
    """Keep the residual of the pooled centres in the first layer."""
    use_global: bool = True
    """Add learnable global centres before the second layer."""

    def __post_init__(self) -> None:
        if min(self.grid) < 1:
            raise ConfigError(f"semantic grid ({self}) must be at least 1x1x1")
        if self.layers < 1:
            raise ConfigError(f"semantic layers ({self.layers}) must be at least 1")
        for name, value, allowed in (
            ("scope", self.scope, get_args(Scope)),
            ("pool", self.pool, get_args(PoolingName)),
        ):
            if value not in allowed:
                raise ConfigError(
                    f"semantic {name} ({value}) must be one of {', '.join(allowed)}"
                    f"{did_you_mean(str(value), list(allowed))}"
                )

    def __str__(self) -> str:
        """Write the setting as `parse_semantic` reads it, defaults left out."""
        until = "" if self.until is None else f"-{self.until}"
        text = f"{'x'.join(map(str, self.grid))}@{self.after}{until}"
        for name, default in _OPTION_DEFAULTS.items():
            value = getattr(self, name)
            if value != default:
                text += f",{name}={str(value).lower()}"
        return text


_OPTION_DEFAULTS: dict[str, str | int | bool] = {
    "scope": "clip",
    "pool": "max",
    "layers": 2,
    "shortcut": True,
    "use_global": True,
}


def parse_semantic(text: str) -> tuple[SemanticConfig, ...]:
    """Read `8x4x4@4`, with options `8x4x4@4,scope=tube`, with recovery `1x6x6@1-6+1x6x6@7-12`.

    Units in a row are joined by `+`; each one is a `SemanticConfig`.

    Raises:
        ConfigError: the text is no such setting, or an option or its value is unknown.
    """
    return tuple(_parse_unit(unit) for unit in text.split("+"))


def _parse_unit(text: str) -> SemanticConfig:
    setting, *pairs = text.strip().split(",")
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)@(\d+)(?:-(\d+))?", setting)
    if match is None:
        raise ConfigError(
            f"semantic setting ({text}) must read TxHxW@BLOCK, as in 8x4x4@4:"
            " the semantic grid, and the block after which the tokens are clustered"
        )
    t, h, w, after, until = match.groups()
    options: dict[str, str | int | bool] = {}
    for pair in pairs:
        name, _, value = pair.strip().partition("=")
        if name not in _OPTION_DEFAULTS:
            raise ConfigError(
                f"unknown semantic option {name!r} in {text}; known: {', '.join(_OPTION_DEFAULTS)}"
                f"{did_you_mean(name, list(_OPTION_DEFAULTS))}"
            )
        options[name] = _option_value(name, value, text)
    return SemanticConfig(
        grid=(int(t), int(h), int(w)),
        after=int(after),
        until=None if until is None else int(until),
        **options,  # type: ignore[arg-type]
    )


def _option_value(name: str, value: str, text: str) -> str | int | bool:
    default = _OPTION_DEFAULTS[name]
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise ConfigError(f"semantic option {name}={value} in {text} must be true or false")
        return value == "true"
    if isinstance(default, int):
        if not value.isdigit():
            raise ConfigError(f"semantic option {name}={value} in {text} must be a whole number")
        return int(value)
    return value


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, and how it differs from its table row."""

    name: str
    """As `stvit-video models` lists it."""
    semantic: str | None = None
    """Setting such as `8x4x4@4`: cluster to 8x4x4 tokens after block 4; None clusters nothing."""
    num_frames: int | None = None
    """Frames of a clip; None keeps those of the model."""
    frame_stride: int | None = None
    """Step between the frames of a clip, in frames of the video; None keeps that of the model."""
    image_size: int | None = None
    """Height and width of a crop, in pixels; None keeps that of the model."""
    drop_path: float = 0.0
    """Stochastic depth of the last block."""
    pretrained: str | None = None
    """Weights to start from: a file, a run folder or a hub id."""

    def __post_init__(self) -> None:
        if self.semantic is not None:
            parse_semantic(self.semantic)
        _check_least("model", self, num_frames=1, frame_stride=1, image_size=1, drop_path=0)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the videos are and how clips are read from them."""

    train: Path | None = None
    """Folder of class folders, or a manifest."""
    val: Path | None = None
    """The same, for the accuracy that is watched during training; None watches none."""
    sampling: Literal["dense", "segments", "uniform"] = "dense"
    """`dense`: neighbouring frames at a stride. `segments`: one frame of each of T equal parts."""
    target_fps: float | None = None
    """Frames per second at which the frame stride counts; None counts frames of the file."""
    short_video: Literal["repeat_last", "loop", "clamp"] = "repeat_last"
    """What a clip reads past the end of a video that is shorter than it."""
    backend: Literal["auto", "decord", "pyav", "torchcodec"] = "auto"
    """What decodes; `auto` takes the fastest that is frame-exact for the file."""
    num_workers: int = 2
    """Processes that decode; 0 decodes in the training process."""
    max_failed_share: float = 0.01
    """Share of the videos that training may skip because they do not decode."""

    def __post_init__(self) -> None:
        _check_least("data", self, num_workers=0, max_failed_share=0)


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How many views of a video are classified, and how they become one answer."""

    num_clips: int = 1
    """Clips, spread evenly over the video."""
    num_crops: Literal[1, 3] = 1
    """Squares along the long side: the centre, or both ends and the centre."""
    combine: Literal["mean_probability", "mean_logit"] = "mean_probability"
    """Average the probabilities of the views, as the field does, or their logits."""

    def __post_init__(self) -> None:
        _check_least("views", self, num_clips=1)

    @property
    def num_views(self) -> int:
        """Forward passes per video."""
        return self.num_clips * self.num_crops


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with a cosine schedule after a linear warm-up."""

    lr: float = 1e-3
    """Highest learning rate, for the whole batch as given."""
    warmup_epochs: float = 5.0
    """Epochs until the highest learning rate, linear from zero."""
    weight_decay: float = 0.05
    """Of weight matrices; norms, biases and positions have none."""
    beta2: float = 0.999
    """Memory of AdamW for squared gradients; less of it suits short runs."""
    layer_decay: float | None = None
    """Factor by which the learning rate falls from block to block towards the input."""
    clip_grad_norm: float | None = None
    """Largest norm of a gradient; None clips nothing."""

    def __post_init__(self) -> None:
        _check_least("optimizer", self, lr=0, warmup_epochs=0, weight_decay=0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, how wide and on what training runs."""

    epochs: int = 30
    """Passes over the training videos."""
    batch_size: int = 8
    """Clips per device and step."""
    accumulate_steps: int = 1
    """Batches whose gradients are added up before a step of the optimiser."""
    clips_per_video: int = 1
    """Clips read from a video each time it is opened (repeated augmentation)."""
    precision: str = "32-true"
    """As Lightning names it: `32-true`, `bf16-mixed`, `16-mixed`."""
    devices: int | Literal["auto", "cpu"] = "auto"
    """GPUs of this machine, gradients averaged over them; `auto` takes all, or the CPU."""
    seed: int = 0
    """Of weights, order, clips and augmentation."""
    resume: bool = False
    """Go on from `last.ckpt` in the run folder."""

    def __post_init__(self) -> None:
        _check_least("train", self, epochs=1, batch_size=1, accumulate_steps=1, clips_per_video=1)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a training run depends on; written into its run folder."""

    model: ModelConfig
    data: DataConfig
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def _check_least(section: str, settings: object, **least: int) -> None:
    for name, bound in least.items():
        value = getattr(settings, name)
        if value is not None and value < bound:
            raise ConfigError(f"{section}.{name} ({value}) must be at least {bound}")
