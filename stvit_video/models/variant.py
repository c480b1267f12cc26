"""What a row of a model table says, and what a user may ask of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from stvit_video.models.exported import Exported
from stvit_video.models.key_report import KeyReport
from stvit_video.settings.grammar import ReducerConfig, SemanticConfig
from stvit_video.settings.model import Preprocessing


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
    reducer: ReducerConfig | None = None
    """Another method in place of semantic tokens."""
    attentive_blocks: int = 0
    """Of an attentive pooler; without any the model pools as its family does."""
    attentive_layers: tuple[int, ...] = ()
    """Blocks, counted from 1, behind which the pooler reads; none for the last."""


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
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    """Gives published weights our key names; None where nothing was published."""
    image_rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    """The same for weights of the image model that this one is inflated from, where it can be."""
    facts: Callable[[dict[str, Tensor]], dict[str, Any]] | None = None
    """Fields of the row that published weights state by their keys and shapes; what they state and
    no field can say is refused."""

    export: Callable[[Any], Exported] | None = None
    """Says a network of this kind as HF transformers has it; None where that has none."""

    attentive_blocks: int = 0
    """Of the attentive pooler that its published head reads; without any it pools itself."""
    pooler_norm_eps: float = 1e-6
    """Of the norms of an attentive pooler."""

    fit: Callable[[dict[str, Tensor], nn.Module, KeyReport], None] | None = None
    """Fits renamed weights to a network of this kind where the rules for all do not suffice.

    Changes the weights; what became of a key goes to the report, with the reason.
    """

    @property
    def untrained_options(self) -> dict[str, str]:
        """Options of a semantic setting that lose least where nothing is trained afterwards."""
        return {}

    @abstractmethod
    def build(self, options: BuildOptions) -> nn.Module:
        """Build the network with random weights."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model was made: enough to make it again, with other settings or from a file."""

    name: str
    """Name in the registry, or what the model was converted from."""
    variant: Variant
    """Sizes, as the weights that were loaded have them."""
    options: BuildOptions
    """What was asked for."""
