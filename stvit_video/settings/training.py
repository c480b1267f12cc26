"""How training runs, and everything that a run depends on.

Sections of `RunConfig` have no slots: jsonargparse reads their defaults by `vars`.
"""

from dataclasses import dataclass, field
from typing import Literal

from stvit_video.settings.bounds import check_least
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.views import ViewConfig


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
        check_least("optimizer", self, lr=0, warmup_epochs=0, weight_decay=0)


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
        check_least("train", self, epochs=1, batch_size=1, accumulate_steps=1, clips_per_video=1)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a training run depends on; written into its run folder."""

    model: ModelConfig
    data: DataConfig
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
