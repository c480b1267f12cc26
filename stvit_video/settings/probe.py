"""How probes are trained: small heads on the features of a network that does not learn.

Sections of `ProbeRun` have no slots: jsonargparse reads their defaults by `vars`.
"""

from dataclasses import dataclass, field

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import (
    Count,
    NotNegative,
    PartShare,
    Positive,
    Seed,
    check_settings,
)
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.views import ViewConfig


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How probes are trained; those of all learning rates and weight decays learn in one pass."""

    lrs: tuple[Positive, ...] = (5e-3, 3e-3, 1e-3, 3e-4, 1e-4)
    """Highest learning rates of AdamW; each falls to 0 by half a cosine."""
    weight_decays: tuple[NotNegative, ...] = (0.01, 0.1, 0.4, 0.8)
    """Of weight matrices."""
    epochs: Count = 20
    """Passes over the features."""
    batch_size: Count = 128
    """Views of a step."""
    warmup_epochs: NotNegative = 0.0
    """Epochs until the highest learning rate."""
    label_smoothing: PartShare = 0.0
    """Share of the target that is spread over all classes."""
    seed: Seed = 0
    """Of first weights and order; all probes begin with the same."""

    def __post_init__(self) -> None:
        check_settings("probe", self)
        for name in ("lrs", "weight_decays"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ConfigError(f"probe.{name} ({list(values)}) must not name a value twice")
        if self.warmup_epochs > self.epochs:
            raise ConfigError(
                f"probe.warmup_epochs ({self.warmup_epochs:g}) must be at most probe.epochs"
                f" ({self.epochs})"
            )


@dataclass(frozen=True, kw_only=True)
class ProbeRun:
    """Everything that probes depend on; written into the run folder."""

    model: ModelConfig
    data: DataConfig
    views: ViewConfig = field(default_factory=ViewConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)

    def __post_init__(self) -> None:
        check_settings("", self)
        if self.model.pretrained is None:
            raise ConfigError(
                "missing model.pretrained; give the weights whose features are to be probed"
            )
        for name, unused in (("drop_path", 0), ("head_dropout", 0), ("head_init_scale", 1)):
            value = getattr(self.model, name)
            if value != unused:
                raise ConfigError(
                    f"model.{name} ({value:g}) does nothing to probes of a frozen network; leave it"
                    " out"
                )
        for name in ("train", "val"):
            if getattr(self.data, name) is None:
                raise ConfigError(
                    f"missing data.{name}; give a folder of class folders or a manifest"
                )
