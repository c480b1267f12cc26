"""Swin and Video Swin, and STViT-R on them; an image is a clip of one frame.

A semantic setting counts the blocks of stage 3 and has the semantic grid of stage 3: `1x6x6@2` on
the 14 x 14 tokens of an image keeps 3 x 3 tokens of each 7 x 7 window, `16x6x6@2,scope=frame` does
so in every frame, `2x6x6@2,scope=tube` in tubes of 8 frames, and `1x6x6@1-6` recovers the patch
tokens with block 6. Without recovery stage 4 goes on with the merged semantic grid. For other
inputs the grid grows with the number of windows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from stvit_video.errors import ConfigError
from stvit_video.models.families.swin.block import SwinBlock
from stvit_video.models.families.swin.embed import ConvEmbed, SwinEmbed
from stvit_video.models.families.swin.network import SwinTransformer, stage_grid
from stvit_video.models.families.swin.plan import PLAIN, RELEASED, SemanticStyle, StagePlan, owner
from stvit_video.models.families.swin.stages import MergeStage, PatchMerging, WindowedSemanticStage
from stvit_video.models.families.swin.windows import Size
from stvit_video.models.families.vit.variant import drop_path_rates
from stvit_video.models.network.stages import BlockStage, Run, SemanticStage, plan_stages
from stvit_video.models.variant import BuildOptions, Variant
from stvit_video.settings.grammar import SemanticConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.generator import SemanticTokenGenerator
from stvit_video.tokens.semantic.recovery import TokenRecovery

CLUSTERING_STAGE = 2
"""Stage 3, counted from 0."""


@dataclass(frozen=True, kw_only=True)
class SwinVariant(Variant):
    """Sizes of a Swin network; widths double from stage to stage."""

    dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    window_size: Size
    tubelet_frames: int = 1
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-5
    """Of the norms in blocks and behind the last; those of patches and mergings have 1e-5."""
    activation: Callable[..., nn.Module] = nn.GELU
    style: SemanticStyle = PLAIN

    def build(self, options: BuildOptions) -> SwinTransformer:
        """Build the network."""
        if options.reducer is not None:
            raise ConfigError("reduction methods need a plain ViT, Swin networks have none")
        if options.semantic and len(self.depths) <= CLUSTERING_STAGE:
            raise ConfigError(f"semantic tokens need stage 3, but depths are {self.depths}")
        embed = self.embed()
        size = options.preprocessing.image_size
        grid = embed.patch.grid(options.preprocessing.num_frames, size, size)
        settings = self.settings(options, stage_grid(grid, CLUSTERING_STAGE))
        blocks, runs = self._stages(grid, settings, options.drop_path)
        dim, classes = self.dim * 2 ** (len(self.depths) - 1), options.num_classes
        return SwinTransformer(
            embed=embed,
            blocks=blocks,
            runs=runs,
            norm=nn.LayerNorm(dim, eps=self.norm_eps),
            head=nn.Linear(dim, classes) if classes else nn.Identity(),
            pool="mean_of_normed",
            preprocessing=options.preprocessing,
        )

    def embed(self) -> SwinEmbed | ConvEmbed:
        """Make the embedding."""
        return SwinEmbed(self.dim, tubelet_size=(self.tubelet_frames, 4, 4))

    def settings(self, options: BuildOptions, grid: Grid) -> tuple[SemanticConfig, ...]:
        """Return the units in stage 3, whose token grid is `grid`."""
        return options.semantic

    def _stages(
        self, grid: Grid, settings: Sequence[SemanticConfig], drop_path: float
    ) -> tuple[list[nn.Module], list[Run]]:
        """Make all blocks in order, a merging at the end of each stage, and what runs them."""
        rates = drop_path_rates(drop_path, sum(self.depths))
        clustering = self._plan(stage_grid(grid, CLUSTERING_STAGE))
        blocks: list[nn.Module] = []
        runs: list[Run] = []
        for stage, depth in enumerate(self.depths):
            plan, start = self._plan(stage_grid(grid, stage)), len(blocks)
            stage_runs = [Run(BlockStage(), range(depth))]
            if stage == CLUSTERING_STAGE:
                stage_runs = self._semantic_runs(plan, settings)
            runs += [
                Run(run.stage, range(start + run.blocks.start, start + run.blocks.stop))
                for run in stage_runs
            ]
            last = settings[-1] if settings and settings[-1].until is None else None
            for number in range(depth):
                window_plan, layer_scale = plan.dense(number), None
                if stage == CLUSTERING_STAGE and owner(number, settings) is not None:
                    window_plan, layer_scale = plan.block(number, settings), self.style.layer_scale
                if stage > CLUSTERING_STAGE and last is not None:
                    window_plan = clustering.semantic(number, last)
                blocks.append(
                    SwinBlock(
                        self.dim * 2**stage,
                        num_heads=self.num_heads[stage],
                        plan=window_plan,
                        mlp_ratio=self.mlp_ratio,
                        norm_eps=self.norm_eps,
                        activation=self.activation,
                        drop_path=rates.pop(0),
                        layer_scale=layer_scale,
                    )
                )
            if stage < len(self.depths) - 1:
                runs.append(Run(MergeStage(), range(len(blocks), len(blocks) + 1)))
                blocks.append(PatchMerging(self.dim * 2**stage))
        return blocks, runs

    def _plan(self, grid: Grid) -> StagePlan:
        """Plan a stage; windows of images shrink to a small image, with their tables."""
        t, h, w = self.window_size
        if t == 1:
            h, w = min(h, grid.h), min(w, grid.w)
        return StagePlan(window=(t, h, w), grid=grid, style=self.style)

    def _semantic_runs(self, plan: StagePlan, settings: Sequence[SemanticConfig]) -> list[Run]:
        def build_stage(dim: int, setting: SemanticConfig) -> SemanticStage:
            generator = SemanticTokenGenerator(dim, setting, plan.per_window(setting))
            recovery = None if setting.until is None else TokenRecovery()
            return WindowedSemanticStage(generator, recovery)

        return plan_stages(
            settings,
            depth=self.depths[CLUSTERING_STAGE],
            dim=self.dim * 2**CLUSTERING_STAGE,
            grid=plan.grid,
            build_stage=build_stage,
        )


@dataclass(frozen=True, kw_only=True)
class StvitRVariant(SwinVariant):
    """STViT-R as released: convolution stem, and dumbbell units of 6 blocks in stage 3."""

    style: SemanticStyle = RELEASED
    tokens_per_window: tuple[int, int] = (3, 3)
    adds_centers: bool = False
    """Whether the first layer of a unit adds the pooled centres to what it reads."""
    has_global_centers: bool = False
    """Whether the first unit adds global centres; the others of the release never do."""

    def embed(self) -> ConvEmbed:
        """Make the convolution stem."""
        return ConvEmbed(self.dim, num_frames=self.tubelet_frames)

    def settings(self, options: BuildOptions, grid: Grid) -> tuple[SemanticConfig, ...]:
        """Return the units that are asked for, or the released ones, clustering every frame."""
        if options.semantic:
            return options.semantic
        windows = (-(-grid.h // self.window_size[1]), -(-grid.w // self.window_size[2]))
        h, w = (n * kept for n, kept in zip(windows, self.tokens_per_window, strict=True))
        return tuple(
            SemanticConfig(
                grid=(grid.t, h, w),
                after=start + 1,
                until=start + 6,
                scope="clip" if grid.t == 1 else "frame",
                shortcut=self.adds_centers,
                use_global=self.has_global_centers and start == 0,
            )
            for start in range(0, self.depths[CLUSTERING_STAGE], 6)
        )
