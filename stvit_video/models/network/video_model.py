"""The network, read top to bottom in the order in which the data flows.

Legend: B clips, C colours, T H W frames and pixels, P class tokens (0 or 1), N tokens on the grid
(t, h, w), S semantic tokens, D width, K classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.models.key_report import KeyReport
from stvit_video.models.layers.attentive import AttentivePooler
from stvit_video.models.layers.embed import Embed
from stvit_video.models.layers.readers import Reader
from stvit_video.models.network.recompute import runnable
from stvit_video.models.network.remembered import RememberedModule
from stvit_video.models.network.stages import GatheringStage, Run, SemanticStage, split_runs
from stvit_video.settings.model import Preprocessing
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.token_set import TokenSet, join_sets

Pool = Literal["class", "mean", "mean_of_normed"]
"""What the head reads: class token, mean of the tokens and then normed, mean of normed tokens."""


class VideoModel(RememberedModule):
    """Embed a clip, pass it through the stages, pool the tokens that are left, classify."""

    labels: tuple[str, ...] = ()
    """Class names by index; empty when unknown."""
    multi_label: bool = False
    """Whether a video may be of several classes: each logit is then a question of its own."""
    can_read_layers: ClassVar[bool] = True
    """Whether tokens of several blocks can be read: all stages see the whole clip, in one width."""
    key_report: KeyReport = KeyReport()
    """What became of the keys of the weights that were loaded; empty for random weights."""

    def __init__(
        self,
        *,
        embed: Embed,
        blocks: Sequence[nn.Module],
        runs: Sequence[Run],
        norm: nn.Module,
        head: nn.Module,
        pool: Pool,
        preprocessing: Preprocessing,
        reader: Reader | None = None,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)
        self._lay_out(runs)
        self.attentive_layers: tuple[int, ...] = ()
        self.norm = norm
        self.reader = reader
        self.pooler: AttentivePooler | None = None
        self.head_dropout = nn.Dropout(0.0)
        self.head = head
        self.pool = pool
        self.preprocessing = preprocessing
        self.grad_checkpointing = False
        self.apply(initialise)

    @property
    def num_classes(self) -> int:
        """Width of the head; 0 where there is none."""
        return int(getattr(self.head, "out_features", 0))

    @property
    def num_features(self) -> int:
        """Width of what the head reads: D, or 2 D of a distilled DeiT, or that of a reader."""
        if self.pooler is not None:
            return self.dim
        if self.reader is not None:
            return self.reader.num_features
        cls_token = getattr(self.embed, "cls_token", None)
        num_tokens = cls_token.shape[1] if self.pool == "class" and cls_token is not None else 1
        return self.dim * num_tokens

    @property
    def dim(self) -> int:
        """Width D of the tokens behind the last block."""
        (dim,) = cast(Any, self.blocks[-1]).norm1.normalized_shape
        return int(dim)

    @property
    def attentive_blocks(self) -> int:
        """Blocks of the attentive pooler; 0 where the model pools as its family does."""
        return 0 if self.pooler is None else len(self.pooler.blocks) + 1

    if TYPE_CHECKING:  # torch says that the call of any module returns Any

        def __call__(self, clip: Tensor) -> Tensor:
            """Call `forward`, and the hooks."""

    def forward(self, clip: Tensor) -> Tensor:
        """Classify: clip (B, C, T, H, W) -> logits (B, K)."""
        return self.classify_tokens(self.read_tokens(clip))

    def forward_joined(self, clips: Tensor) -> Tensor:
        """Let an attentive pooler read V clips at once: (B, V, C, T, H, W) -> logits (B, K)."""
        if self.pooler is None:
            raise ConfigError(
                f"views.join_clips needs an attentive pooler, but {self.name} averages its tokens"
            )
        state = self.read_tokens(clips.flatten(0, 1))
        return self.classify_tokens(join_sets(state.unstack(clips.shape[1])))

    def forward_with_tokens(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Classify and describe: clip (B, C, T, H, W) -> logits (B, K), normed tokens (B, N, D)."""
        state = self.read_tokens(clip)
        _, patches = state._replace(tokens=self.norm(state.tokens)).split()
        return self.classify_tokens(state), patches

    def classify_tokens(self, state: TokenSet) -> Tensor:
        """Classify what the stages made: tokens (B, P + N, D) -> logits (B, K)."""
        return self.head(self.head_dropout(self.head_input(state)))

    def head_input(self, state: TokenSet) -> Tensor:
        """Return what the head reads of each clip: tokens (B, P + N, D) -> (B, num_features)."""
        if self.pooler is None:
            return self.pool_tokens(state)
        return self.pooler(self.norm(state.tokens), state.key_bias())

    def forward_tokens(self, clip: Tensor) -> TokenSet:
        """Run all stages: clip (B, C, T, H, W) -> tokens (B, P + N, D), their grid and sizes."""
        return self.run_stages(TokenSet(*self.embed(clip)))

    def read_tokens(self, clip: Tensor) -> TokenSet:
        """Return what the head reads: tokens of the last block, or of all `attentive_layers`."""
        if not self.attentive_layers:
            return self.forward_tokens(clip)
        state, read = TokenSet(*self.embed(clip)), []
        for stage, numbers in zip(self.stages, self.block_ranges, strict=True):
            state = stage(state, self.blocks_of(numbers))
            if numbers.stop in self.attentive_layers:
                read.append(state)
        return join_sets(read)

    def read_layers(self, layers: Sequence[int]) -> None:
        """Let the attentive pooler read the tokens behind several blocks, counted from 1.

        Raises:
            ConfigError: the pooler is another one, or there are no tokens to be had behind a block.
        """
        if self.pooler is None or not self.can_read_layers:
            raise ConfigError(
                f"attentive_layers ({', '.join(map(str, layers))}) has no place in {self.name}: it"
                " needs attentive_blocks, and a network whose blocks see whole clips"
            )
        runs = map(Run, cast(Any, self.stages), self.block_ranges)
        self._lay_out(split_runs(list(runs), layers))
        self.attentive_layers = tuple(layers)
        self._remember(attentive_layers=self.attentive_layers)

    def _lay_out(self, runs: Sequence[Run]) -> None:
        self.stages = nn.ModuleList(run.stage for run in runs)
        self.block_ranges = [run.blocks for run in runs]

    def run_stages(self, state: TokenSet) -> TokenSet:
        """Run all stages: tokens (B, P + N, D) on their grid -> the same on the last grid."""
        for stage, numbers in zip(self.stages, self.block_ranges, strict=True):
            state = stage(state, self.blocks_of(numbers))
        return state

    def blocks_of(self, numbers: range) -> list[Any]:
        """Return blocks by their numbers, as a stage calls them."""
        blocks = [self.blocks[number] for number in numbers]
        return runnable(blocks, recompute=self.grad_checkpointing)

    def pool_tokens(self, state: TokenSet) -> Tensor:
        """Make one vector per clip: (B, P + N, D) -> (B, D)."""
        if self.reader is not None:
            return self.reader(state._replace(tokens=self.norm(state.tokens)))
        if self.pool == "class":
            cls, _ = state.split()
            return self.norm(cls).flatten(1)  # (B, P * D): one, or two of a distilled DeiT
        if self.pool == "mean":
            return self.norm(state.mean())
        return state._replace(tokens=self.norm(state.tokens)).mean()

    def forward_features(self, clip: Tensor) -> Tensor:
        """Describe every place: clip (B, C, T, H, W) -> normed (B, D, t, h, w) on the last grid.

        That is the semantic grid where tokens were clustered, the whole one where recovered.
        """
        state = self.forward_tokens(clip)
        _, patches = state._replace(tokens=self.norm(state.tokens)).split()
        return patches.transpose(1, 2).unflatten(2, tuple(state.grid))

    def forward_assignments(self, clip: Tensor) -> Tensor:
        """Show what semantic tokens read: clip (B, C, T, H, W) -> weights (B, S, t, h, w).

        Attention of the last layer of the first semantic stage, or, without layers or of a reducer
        in eval mode, the share of each patch in the mean.

        Raises:
            ConfigError: the model has no semantic tokens.
        """
        state = TokenSet(*self.embed(clip))
        return self.assign_tokens(state).unflatten(2, tuple(state.grid))

    def assign_tokens(self, state: TokenSet) -> Tensor:
        """Say what semantic tokens read: embedded tokens (B, P + N, D) -> weights (B, S, N)."""
        for stage, numbers in zip(self.stages, self.block_ranges, strict=True):
            blocks = self.blocks_of(numbers)
            if isinstance(stage, GatheringStage):
                return stage.assignments(state, blocks)
            state = stage(state, blocks)
        raise ConfigError("the model has no semantic tokens; create it with semantic='8x4x4@4'")

    def token_counts(self, clip_size: tuple[int, int, int] | None = None) -> dict[str, int | None]:
        """Count patch tokens, and semantic tokens of the first semantic stage, of one clip.

        `clip_size` is (T, H, W); by default that of `preprocessing`.
        """
        size = self.preprocessing.image_size
        grid = self.embed.patch.grid(*(clip_size or (self.preprocessing.num_frames, size, size)))
        return self.count_on_grid(grid)

    def count_on_grid(self, grid: Grid) -> dict[str, int | None]:
        """Count the tokens of a grid, and what the first semantic stage makes of them."""
        generators = [s.generator for s in self.stages if isinstance(s, SemanticStage)]
        semantic = generators[0].semantic_grid(grid).size if generators else None
        return {"input": grid.size, "semantic": semantic}

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head

    def reset_classifier(self, num_classes: int, attentive_blocks: int | None = None) -> None:
        """Replace the head by a new one, drawn at random; 0 leaves none. Labels are dropped.

        With `attentive_blocks` the pooler that it reads is new as well: an attentive one of so many
        blocks, or with 0 the model's own. None keeps it.

        Raises:
            ConfigError: the model has no tokens that an attentive pooler could read.
        """
        first = next(self.parameters())
        if attentive_blocks is not None:
            self.pooler = self._new_pooler(attentive_blocks)
            self.reader = self.reader if self.pooler is None else None
        if self.pooler is None:
            self.attentive_layers = ()
        if self.pooler is not None:
            self.pooler.to(first.device, first.dtype)
        self.head = nn.Identity()
        if num_classes:
            self.head = nn.Linear(self.num_features, num_classes).to(first.device, first.dtype)
            initialise(self.head)
        self.labels = ()
        self._remember(
            num_classes=num_classes,
            attentive_blocks=self.attentive_blocks,
            attentive_layers=self.attentive_layers,
        )

    def _new_pooler(self, num_blocks: int) -> AttentivePooler | None:
        """Draw an attentive pooler at random, with as many heads as the last block."""
        if not num_blocks:
            return None
        num_heads = int(cast(Any, self.blocks[-1]).attn.num_heads)
        eps = 1e-6 if self.recipe is None else self.recipe.variant.pooler_norm_eps
        pooler = AttentivePooler(self.dim, num_heads=num_heads, num_blocks=num_blocks, norm_eps=eps)
        return pooler.apply(initialise)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of each block in training, and compute the rest again."""
        self.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say which layer a parameter belongs to, as `timm.optim` asks.

        The embedding, each block, and last the rest: norm, head and what clusters. `coarse` is
        what timm passes; there are no coarser groups.
        """
        return {"stem": r"^embed\.", "blocks": [(r"^blocks\.(\d+)\.", None)]}

    def no_weight_decay(self) -> set[str]:
        """Name the parameters that never decay, besides those of one axis: all but matrices.

        Positions, class tokens, global centres, tables of position bias.
        """
        return {
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim > 1 and not name.endswith("weight")
        }


def initialise(module: nn.Module) -> None:
    """Draw the weights of a linear layer at random, as ViTs do; its bias is zero."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
