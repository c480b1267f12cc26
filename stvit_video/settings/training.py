"""How training runs, and everything that a run depends on.

Sections of `RunConfig` have no slots: jsonargparse reads their defaults by `vars`.
"""

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
    check_settings,
)
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.views import ViewConfig

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Strategy = Literal["ddp", "fsdp"]
LogName = Literal["csv", "tensorboard", "wandb"]
USUAL_WARMUP = 5.0
"""Epochs of warm-up where nothing is said and the run is not shorter."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with a cosine schedule after a linear warm-up."""

    lr: NotNegative = 1e-3
    """Highest learning rate, for the whole batch as given."""
    warmup_epochs: NotNegative | None = None
    """Epochs until the highest learning rate, linear from zero; None takes 5, or all of a shorter
    run."""
    weight_decay: NotNegative = 0.05
    """Of weight matrices; norms, biases and positions have none."""
    beta2: PartShare = 0.999
    """Memory of AdamW for squared gradients; less of it suits short runs."""
    layer_decay: Annotated[float, Range(above=0, most=1)] | None = None
    """Factor by which the learning rate falls from block to block towards the input."""
    clip_grad_norm: Positive | None = None
    """Largest norm of a gradient; None clips nothing."""

    def __post_init__(self) -> None:
        check_settings("optimizer", self)


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
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise ConfigError(
                "train.precision (16-mixed) does not go with train.strategy fsdp; take bf16-mixed"
            )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a training run depends on; written into its run folder."""

    model: ModelConfig
    data: DataConfig
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        check_settings("", self)
        warmup, epochs = self.optimizer.warmup_epochs, self.train.epochs
        if warmup is not None and warmup > epochs:
            raise ConfigError(
                f"optimizer.warmup_epochs ({warmup:g}) must be at most train.epochs ({epochs})"
            )
