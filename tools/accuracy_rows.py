"""The networks that tools/accuracy.py compares: one row each, all of the same blocks.

Clips of 8 x 64 x 64 pixels make 4 x 8 x 8 = 256 tokens of width 192; there are 8 blocks. Rivals are
set to the multiply-adds of `4x4x4@2`, to 4 %, but for the shallower net, which may have more.
"""

from dataclasses import dataclass, replace
from typing import Literal

from moving_garments import NUM_CLASSES, NUM_FRAMES, SIZE

from stvit_video.models import registry
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import find_variant
from stvit_video.models.variant import BuildOptions, Recipe
from stvit_video.settings.grammar import parse_reducer, parse_semantic
from stvit_video.settings.model import Preprocessing

Group = Literal["main", "variants", "fine-tuning", "divided"]

WIDTH, DEPTH, HEADS, TUBELET = 192, 8, 3, (2, 8, 8)
PREPROCESSING = Preprocessing(num_frames=NUM_FRAMES, frame_stride=1, image_size=SIZE)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network, and what it begins with."""

    group: Group
    setting: str = ""
    """A semantic setting or a reducer; dense without one."""
    depth: int = DEPTH
    class_token: bool = False
    tuned: bool = False
    """Whether it begins with the weights of the dense row, and is trained for a tenth."""

    @property
    def name(self) -> str:
        """What tables call it."""
        kind = self.setting or ("dense" if self.depth == DEPTH else f"dense, {self.depth} blocks")
        divided = "divided " if self.group == "divided" else ""
        token = ", class token" if self.class_token and not self.setting else ""
        return f"{divided}{kind}{token}{', from dense' if self.tuned else ''}"

    @property
    def family(self) -> str:
        """What plots call all rows of its method."""
        if not self.setting:
            return "dense" if self.depth == DEPTH else "shallower dense"
        if not self.is_semantic:
            return self.setting.partition(":")[0]
        is_far = "centers=far" in self.setting or "x" not in self.setting
        return "semantic, far centres" if is_far else "semantic, grid centres"

    @property
    def is_semantic(self) -> bool:
        """Whether it has semantic tokens."""
        return "@" in self.setting

    @property
    def has_static_shapes(self) -> bool:
        """Whether no shape depends on pixels, so that compiled code serves every batch."""
        return not self.setting.startswith("rlt")


DENSE = Row(group="main")
DEFAULT = Row(group="main", setting="4x4x4@2")
_MAIN = (
    DENSE,
    DEFAULT,
    *(
        Row(group="main", setting=setting)
        for setting in (
            "4x4x4@2,pool=avg",
            "4x4x4@2,pool=learned",
            "64@2",
            "average:grid=4x4x4,block=3",
            "tome:r=34",
            "dpcknn:keep=58,block=3",
            "random:keep=61,block=3",
            "rlt:threshold=0.6",
        )
    ),
    Row(group="main", setting="evit:keep=0.58,block=2+4+6", class_token=True),
    Row(group="main", depth=4),
    Row(group="main", class_token=True),
)
_VARIANTS = tuple(
    Row(group="variants", setting=setting)
    for setting in (
        *("4x4x4@4", "4x4x4@6", "2x4x4@2", "4x2x2@2"),
        *("4x4x4@2,scope=tube", "4x4x4@2,scope=frame"),
        *(f"4x4x4@2{pool},use_global=false" for pool in ("", ",pool=avg", ",pool=learned")),
        *("64@3", "64@4", "32@2", "16@2", "64@2,layers=2"),
        *(f"4x4x4@2,centers=far,scope={scope}" for scope in ("tube", "frame")),
    )
)
_TUNED = tuple(
    Row(group="fine-tuning", setting=setting, tuned=True)
    for setting in (
        *("4x4x4@2", "4x4x4@2,pool=avg", "4x4x4@4", "64@2", "64@3", "64@4"),
        *("tome:r=34", "tome:r=20", "average:grid=4x4x4,block=3", "dpcknn:keep=58,block=3"),
    )
)
_DIVIDED = tuple(
    Row(group="divided", setting=setting)
    for setting in ("", "4x4x4@2", "4x4x4@2,pool=avg", "4x4x4@2,centers=far,scope=tube")
)
ROWS = {row.name: row for row in (*_MAIN, *_VARIANTS, *_TUNED, *_DIVIDED)}


def build(row: Row) -> VideoModel:
    """Make the network of a row; its weights are drawn from torch's global generator."""
    template = "timesformer_base_patch16_224" if row.group == "divided" else "demo_tiny"
    variant = replace(
        find_variant(template), dim=WIDTH, depth=row.depth, num_heads=HEADS, tubelet_size=TUBELET
    )
    options = BuildOptions(
        num_classes=NUM_CLASSES,
        preprocessing=PREPROCESSING,
        semantic=parse_semantic(row.setting) if row.is_semantic else (),
        reducer=parse_reducer(row.setting) if row.setting and not row.is_semantic else None,
        drop_path=0.0,
        class_token=row.class_token,
    )
    return registry.build(Recipe(name=row.name, variant=variant, options=options))
