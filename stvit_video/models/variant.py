"""What a row of a model table says, and what a user may ask of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn

from stvit_video.config import Preprocessing, SemanticConfig
from stvit_video.tokens.rivals.setting import ReductionSetting


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What `create_model` passes to a variant, every default filled in."""

    num_classes: int
    """Width of the head; 0 leaves the features as they are."""
    preprocessing: Preprocessing
    """Frames and size of the clips."""
    semantic: tuple[SemanticConfig, ...]
    """Semantic stages in order; none for the dense model."""
    drop_path: float
    """Stochastic depth of the last block; it grows linearly from 0."""
    class_token: bool | None
    """Keep the class token; None decides as the variant and the paper do."""
    reduction: ReductionSetting | None = None
    """A rival method in place of semantic tokens."""


@dataclass(frozen=True, kw_only=True)
class Variant(ABC):
    """A model by name: one row of its family's table."""

    preprocessing: Preprocessing
    """What its published weights were trained on."""
    num_classes: int
    """Classes of its published weights."""
    source: str
    """The paper or the release whose sizes these are."""
    license: str
    """Licence of the published weights, which the user loads; we ship none."""

    @abstractmethod
    def build(self, options: BuildOptions) -> nn.Module:
        """Build the network with random weights."""
