"""How training runs, and everything that a run depends on.

Sections of `RunConfig` have no slots: jsonargparse reads their defaults by `vars`.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import (
    Count,
    NotNegative,
    PartShare,
    Positive,
    Range,
    Seed,
    Share,
    check_settings,
)
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.paths import CheckpointSource
from stvit_video.settings.tasks import check_task
from stvit_video.settings.views import ViewConfig

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Strategy = Literal["ddp", "fsdp"]
LogName = Literal["csv", "tensorboard", "wandb"]
USUAL_WARMUP = 5.0
"""Epochs of warm-up where nothing is said and the run is not shorter."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimiser, and the learning rate of each step after a linear warm-up."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with momentum."""
    lr: NotNegative = 1e-3
    """Highest learning rate."""
    lr_per_videos: Count | None = None
    """Videos of a step that `lr` and `min_lr` are meant for: both grow in proportion to those of a
    step, over all devices and accumulated batches; None takes them as they are."""
    schedule: Literal["cosine", "step"] = "cosine"
    """How the learning rate falls: by half a cosine, or at `milestones`."""
    min_lr: NotNegative = 0.0
    """Learning rate that the schedule falls towards."""
    milestones: tuple[Positive, ...] | None = None
    """Epochs after which the learning rate of `step` falls."""
    step_factor: Annotated[float, Range(above=0, below=1)] = 0.1
    """What it is multiplied by at each of them."""
    warmup_epochs: NotNegative | None = None
    """Epochs until the highest learning rate; None takes 5, or all of a shorter run."""
    warmup_start: Share = 0.0
    """Share of the highest learning rate at which the warm-up begins."""
    weight_decay: NotNegative = 0.05
    """Of weight matrices; norms, biases and positions have none."""
    beta2: PartShare = 0.999
    """Memory of AdamW for squared gradients; less of it suits short runs."""
    momentum: PartShare = 0.9
    """Of SGD."""
    nesterov: bool = False
    """Let SGD look ahead along its momentum."""
    layer_decay: Annotated[float, Range(above=0, most=1)] | None = None
    """Factor by which the learning rate falls from block to block towards the input."""
    backbone_lr: Annotated[float, Range(above=0, most=1)] = 1.0
    """Share of the learning rate for all but head, pooler and what makes semantic tokens."""
    clip_grad_norm: Positive | None = None
    """Largest norm of a gradient; None clips nothing."""

    def __post_init__(self) -> None:
        check_settings("optimizer", self)
        if self.schedule == "step" and self.milestones is None:
            raise ConfigError(
                "optimizer.schedule (step) needs optimizer.milestones: the epochs after which the"
                " learning rate falls, such as [11, 14]"
            )
        if self.min_lr > self.lr:
            raise ConfigError(
                f"optimizer.min_lr ({self.min_lr:g}) must be at most optimizer.lr ({self.lr:g})"
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, how wide and on what training runs."""

    epochs: Count = 30
    """Passes over the training videos."""
    batch_size: Count = 8
    """Clips per device and step."""
    accumulate_steps: Count = 1
    """Batches whose gradients are added up before a step of the optimiser."""
    clips_per_video: Count = 1
    """Clips read from a video each time it is opened (repeated augmentation)."""
    share_frames: bool = False
    """Let the clips of a video show the same frames, each augmented on its own, as VideoMAE does;
    else each has frames of its own."""
    precision: Precision = "32-true"
    """As Lightning names it; weights are float32 in all of them."""
    devices: Count | Literal["auto", "cpu"] = "auto"
    """GPUs of this machine, gradients averaged over them; `auto` takes all, or the CPU."""
    strategy: Strategy = "ddp"
    """What several processes share: gradients, or with `fsdp` (FSDP2) also weights and moments, for
    models that are too large for one device."""
    compile: bool | Literal["auto"] = "auto"
    """Run training steps by `torch.compile`; `auto` does on CUDA."""
    grad_checkpointing: bool = False
    """Keep the inputs of each block alone, and compute the rest again for the gradient."""
    ema_decay: PartShare | None = None
    """Average the weights over the steps, each with this share of the average before; what is
    validated and exported is the average then. It forgets faster in the first steps."""
    freeze: str | None = None
    """What does not learn: `backbone`, all but head, pooler and what makes semantic tokens, or
    `blocks 0-7`, with 0 also the embedding."""
    seed: Seed = 0
    """Of weights, order, clips and augmentation."""
    num_nodes: Count = 1
    """Machines that train together, each started by torchrun or SLURM."""
    resume: bool | Literal["auto"] = "auto"
    """Go on from the newest checkpoint of the run folder: `auto` where there is one; true insists
    on it, false on a new run."""
    checkpoint_minutes: Positive = 10.0
    """Time between checkpoints; there is one after each epoch, too."""
    keep_checkpoints: Count = 2
    """How many of them are kept, the newest."""
    loggers: tuple[LogName, ...] = ("csv", "tensorboard")
    """Where the numbers of every `log_steps` go: `steps.csv` and TensorBoard's files in the run
    folder, Weights & Biases."""
    log_steps: Count = 50
    """Steps of the optimiser between two lines of them."""

    def __post_init__(self) -> None:
        check_settings("train", self)
        if self.freeze is not None:
            parse_freeze(self.freeze)
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise ConfigError(
                "train.precision (16-mixed) does not go with train.strategy fsdp; take bf16-mixed"
            )
        if self.batch_size % self.clips_per_video:
            raise ConfigError(
                f"train.batch_size ({self.batch_size}) must be a multiple of train.clips_per_video"
                f" ({self.clips_per_video}): it counts clips"
            )


def parse_freeze(words: str) -> range | None:
    """Read `train.freeze`: the numbers of blocks, or None for the backbone.

    Raises:
        ConfigError: it is neither.
    """
    if words == "backbone":
        return None
    found = re.fullmatch(r"blocks (\d+)-(\d+)", words)
    if found is None or int(found[1]) > int(found[2]):
        raise ConfigError(f"train.freeze ({words}) must be backbone, or blocks such as blocks 0-7")
    return range(int(found[1]), int(found[2]) + 1)


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """A trained model that another one learns from, beside the labels."""

    teacher: CheckpointSource | None = None
    """Run folder, converted folder or hub id of a model of the same classes and clips, such as the
    dense one that a semantic model is to replace; None trains on labels alone."""
    weight: Share = 0.5
    """Share of the loss that compares answers with those of the teacher."""
    temperature: Positive = 1.0
    """Softens the answers that are compared."""
    tokens: NotNegative = 0.0
    """Weight of the distance of normed tokens, which a model has to recover for that."""

    def __post_init__(self) -> None:
        check_settings("distill", self)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a training run depends on; written into its run folder."""

    model: ModelConfig
    data: DataConfig
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)

    def __post_init__(self) -> None:
        check_settings("", self)
        others = ("model", "data", "augmentation", "views", "train", "distill")
        check_task(self.detector, {name: getattr(self, name) for name in others})
        warmup, epochs = self.optimizer.warmup_epochs, self.train.epochs
        if warmup is not None and warmup > epochs:
            raise ConfigError(
                f"optimizer.warmup_epochs ({warmup:g}) must be at most train.epochs ({epochs})"
            )
        clips, mixing = self.train.clips_per_video, self.augmentation
        if (mixing.mixup or mixing.cutmix) and self.train.batch_size == clips:
            raise ConfigError(
                f"train.batch_size ({clips}) holds one video, and augmentation.mixup and cutmix mix"
                " two; raise it or set both to 0"
            )
