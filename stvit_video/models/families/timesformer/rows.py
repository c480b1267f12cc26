"""TimeSformer (arXiv 2102.05095): divided, joint and space-only attention."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from stvit_video.models.families.timesformer import weights as timesformer_weights
from stvit_video.models.families.timesformer.export import export
from stvit_video.models.families.vit import weights as vit_weights
from stvit_video.models.families.vit.variant import (
    VitVariant,
    check_rows,
    native_size,
    refuse_reducer,
)
from stvit_video.models.layers.blocks import Block, DividedBlock
from stvit_video.models.layers.embed import FrameEmbed, VitEmbed
from stvit_video.models.network.frame_transformer import FrameTransformer, check_frame_scope
from stvit_video.models.network.stages import Run
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import BuildOptions, Variant
from stvit_video.settings.model import Preprocessing


@dataclass(frozen=True, kw_only=True)
class TimesformerVariant(VitVariant):
    """Sizes of a TimeSformer, and how it attends.

    `divided` reads along time, then within the frame, in every block; `joint` reads everything;
    `space` reads within the frame, and averages the frames before the head.

    Semantic models do without class token unless it is asked for, and average their tokens: then
    no frame carries a copy of it. Divided attention stays divided on the semantic grid; layers of
    the generator and the recovery are plain, with the weights of the spatial attention. Space-only
    models cluster every frame on its own (scope `frame`).
    """

    attention: Literal["divided", "joint", "space"]

    def _network(self, options: BuildOptions, has_class_token: bool) -> Callable[..., VideoModel]:
        if self.attention == "space":
            return FrameTransformer
        return super()._network(options, has_class_token)

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> VitEmbed:
        return FrameEmbed(
            self.dim,
            tubelet_size=self.tubelet_size,
            native_size=native_size(preprocessing),
            has_class_token=has_class_token,
            per_frame=self.attention == "space",
            resizing="nearest",
        )

    @property
    def untrained_options(self) -> dict[str, str]:
        """Far centres of what the attention reads at once."""
        scope = {"divided": "tube", "joint": "clip", "space": "frame"}
        return {"centers": "far", "scope": scope[self.attention]}

    def _plan(self, options: BuildOptions, embed: VitEmbed) -> list[Run]:
        if self.attention != "joint":
            refuse_reducer(options, self.attention)
        if self.attention == "divided":
            check_rows(options, self.attention)
        if self.attention == "space":
            check_frame_scope(options.semantic, embed.native_grid)
        return super()._plan(options, embed)

    def _axes_block(self, drop_path: float) -> Block:
        if self.attention != "divided":
            return self._block(drop_path)
        return DividedBlock(
            self.dim,
            num_heads=self.num_heads,
            mlp_ratio=self.mlp_ratio,
            norm_eps=self.norm_eps,
            activation=self.activation,
            drop_path=drop_path,
        )


_preprocessing = partial(Preprocessing, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
_BASE = _preprocessing(num_frames=8, frame_stride=32, image_size=224)
_HR = _preprocessing(num_frames=16, frame_stride=16, image_size=448)
_LARGE = _preprocessing(num_frames=96, frame_stride=4, image_size=224)

_timesformer = partial(
    TimesformerVariant,
    num_classes=400,
    dim=768,
    depth=12,
    num_heads=12,
    tubelet_size=(1, 16, 16),
    source="TimeSformer, arXiv 2102.05095",
    license="CC-BY-NC-4.0",
    rename=timesformer_weights.rename,
    facts=timesformer_weights.facts,
    export=export,
    image_rename=vit_weights.rename,
)

VARIANTS: dict[str, Variant] = {
    "timesformer_base_patch16_224": _timesformer(preprocessing=_BASE, attention="divided"),
    "timesformer_base_joint_patch16_224": _timesformer(preprocessing=_BASE, attention="joint"),
    "timesformer_base_space_patch16_224": _timesformer(preprocessing=_BASE, attention="space"),
    "timesformer_hr_patch16_448": _timesformer(preprocessing=_HR, attention="divided"),
    "timesformer_large_patch16_224": _timesformer(preprocessing=_LARGE, attention="divided"),
}
