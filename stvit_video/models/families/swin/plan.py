"""Which windows each block of a Swin network uses, dense, clustering, on the semantic grid.

Settings count the blocks of stage 3, and their grid is the semantic grid of stage 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stvit_video.errors import ConfigError
from stvit_video.models.families.swin.attention import WindowPlan
from stvit_video.models.families.swin.cross import WHOLE, Extent, Reach
from stvit_video.models.families.swin.windows import NO_SHIFT, Size
from stvit_video.settings.grammar import SemanticConfig
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.generator import PerWindow


@dataclass(frozen=True, kw_only=True)
class SemanticStyle:
    """How a Swin network clusters, where the paper's networks differ from the release."""

    has_bias: bool = True
    """Layers of the clustering keep the relative position bias, read between patches."""
    alternate: bool = False
    """Semantic blocks see windows and the whole clip in turn, instead of shifted windows."""
    layer_scale: float | None = None
    """Initial scale of both branches in the blocks of a unit."""
    overlap: int = 3
    """Patches by which a window of keys is larger than its window of queries, both sides."""
    key_windows: tuple[int | None, int | None] = (None, None)
    """Sides of the windows of patches that later layers read, beside the centres of their window,
    and of semantic tokens that the recovery reads; None is all of them."""
    reads_centers: bool = True
    """Layers of the clustering read the centres of their window, too."""


PLAIN = SemanticStyle()
RELEASED = SemanticStyle(has_bias=False, alternate=True, layer_scale=1e-5)
DETECTION = replace(RELEASED, overlap=7, key_windows=(21, 27), reads_centers=False)
"""Of the networks that were released below detectors, for images of any size."""


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """Stage 3, the one that clusters."""

    window: Size
    """Window of the dense blocks, in patches."""
    grid: Grid
    """Grid of the stage for the clips that the network is built for."""
    style: SemanticStyle

    def per_window(self, setting: SemanticConfig) -> PerWindow:
        """Say what a window keeps.

        Raises:
            ConfigError: windows cannot share the semantic grid evenly, or centres have no place.
        """
        if setting.centers == "far":
            raise ConfigError(
                f"semantic setting {setting} has centers=far, whose tokens have no place in the"
                " windows of this model; write TxHxW@BLOCK,centers=grid"
            )
        side = (min(self.window[1], self.grid.h), min(self.window[2], self.grid.w))
        windows = Grid(setting.grid[0], -(-self.grid.h // side[0]), -(-self.grid.w // side[1]))
        if self.grid.t % windows.t or setting.grid[1] % windows.h or setting.grid[2] % windows.w:
            raise ConfigError(
                f"semantic grid {Grid(*setting.grid)} cannot be kept by windowed attention: its"
                f" time must divide {self.grid.t}, its height and width must be multiples of"
                f" {windows.h} and {windows.w}, the windows of the {self.grid} tokens in stage 3"
            )
        tokens = Grid(1, setting.grid[1] // windows.h, setting.grid[2] // windows.w)
        return PerWindow(Grid(self.grid.t // windows.t, *side), tokens)

    def dense(self, number: int) -> WindowPlan:
        """Plan a block on patch tokens; odd ones shift."""
        half = (self.window[0] // 2, self.window[1] // 2, self.window[2] // 2)
        return WindowPlan(
            window=self.window, shift=half if number % 2 else NO_SHIFT, table=self.window
        )

    def semantic(self, number: int, setting: SemanticConfig) -> WindowPlan:
        """Plan a block on semantic tokens: the windows of the patches, in fewer tokens.

        A window has at least two tokens a side, or what it holds would never meet the rest.
        """
        kept = self.per_window(setting)
        frames = 1 if setting.scope == "frame" else kept.window.t
        window = (
            max(2, self.window[0] // frames),
            max(2, kept.tokens.h),
            max(2, kept.tokens.w),
        )
        extent: Extent = window
        shift = (window[0] // 2, window[1] // 2, window[2] // 2) if number % 2 else NO_SHIFT
        if self.style.alternate:
            shift = NO_SHIFT
            extent = WHOLE if (number - setting.after - setting.layers) % 2 else window
        cell = (
            float(frames),
            kept.window.h / kept.tokens.h,
            kept.window.w / kept.tokens.w,
        )
        return WindowPlan(window=extent, shift=shift, table=self._table(), cell=cell)

    def block(self, number: int, settings: Sequence[SemanticConfig]) -> WindowPlan:
        """Plan block `number`, counted from 0, of the stage."""
        setting = owner(number, settings)
        if setting is None:
            return self.dense(number)
        kept = self.per_window(setting)
        plan = replace(self.dense(0), table=self._table())
        if number == setting.after:
            keys = (None, kept.window.h + self.style.overlap, kept.window.w + self.style.overlap)
            return replace(
                plan,
                reach=Reach((None, *kept.tokens[1:]), keys),
                reads_queries=self.style.reads_centers,
                projects_windows=not self.style.has_bias,
            )
        around, restored = self.style.key_windows
        if number < setting.after + setting.layers:
            if around is None:
                return plan
            reach = Reach((None, *kept.tokens[1:]), (None, around, around))
            return replace(plan, reach=reach, skips_centers=not self.style.reads_centers)
        if setting.until is not None and number == setting.until - 1:
            frame = 1 if setting.scope == "frame" else None
            if restored is None:
                return replace(plan, reach=Reach((frame, None, None), (frame, None, None)))
            return replace(
                plan, reach=Reach((frame, *self.window[1:]), (frame, restored, restored))
            )
        return self.semantic(number, setting)

    def _table(self) -> Size | None:
        return self.window if self.style.has_bias else None


def owner(number: int, settings: Sequence[SemanticConfig]) -> SemanticConfig | None:
    """Return the setting whose unit block `number` belongs to, None of a block on patch tokens."""
    for setting in settings:
        if number >= setting.after and (setting.until is None or number < setting.until):
            return setting
    return None
