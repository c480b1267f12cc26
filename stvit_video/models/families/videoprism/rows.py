"""VideoPrism (arXiv 2402.13217): ViViT's frames first, then every place through time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from stvit_video.models.families.videoprism.weights import facts, rename
from stvit_video.models.families.vit.variant import (
    VitVariant,
    drop_path_rates,
    native_size,
    refuse_reducer,
)
from stvit_video.models.layers.blocks import Block
from stvit_video.models.layers.embed import VitEmbed
from stvit_video.models.layers.image_embed import ImageEmbed
from stvit_video.models.layers.readers import WideReader
from stvit_video.models.network.frame_transformer import check_frame_scope
from stvit_video.models.network.place_encoder import PlaceEncoder, PlaceTransformer, check_places
from stvit_video.models.network.stages import Run
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.variant import BuildOptions, Variant
from stvit_video.settings.model import Preprocessing


@dataclass(frozen=True, kw_only=True)
class VideoPrismVariant(VitVariant):
    """Sizes of a VideoPrism; `depth` and the blocks of a setting count those in frames only.

    Semantic tokens are clustered frame by frame, on the same grid in all.
    """

    temporal_depth: int
    """Blocks along time."""
    logit_cap: float | None = 50.0
    """What attention scores are bent to stay below."""
    reader_width: int | None = None
    """Width of the heads of its own attention pool; None for a model without."""

    @property
    def untrained_options(self) -> dict[str, str]:
        """Far centres of each frame."""
        return {"centers": "far", "scope": "frame"}

    def _network(self, options: BuildOptions, has_class_token: bool) -> Callable[..., VideoModel]:
        rates = drop_path_rates(options.drop_path, self.temporal_depth)
        temporal = PlaceEncoder(
            self.dim,
            blocks=[self._block(rate) for rate in rates],
            num_frames=options.preprocessing.num_frames,
            norm_eps=self.norm_eps,
        )
        return partial(PlaceTransformer, temporal=temporal)

    def _reader(self) -> WideReader | None:
        if self.reader_width is None:
            return None
        return WideReader(
            self.dim, width=self.reader_width, num_heads=self.num_heads, norm_eps=self.norm_eps
        )

    def _embed(self, preprocessing: Preprocessing, has_class_token: bool) -> VitEmbed:
        return ImageEmbed(
            self.dim,
            tubelet_size=self.tubelet_size,
            native_size=native_size(preprocessing),
            num_class_tokens=0,
            table=True,
        )

    def _plan(self, options: BuildOptions, embed: VitEmbed) -> list[Run]:
        refuse_reducer(options, "within frames, then along time")
        check_frame_scope(options.semantic, embed.native_grid)
        check_places(options.semantic)
        return super()._plan(options, embed)

    def _block(self, drop_path: float) -> Block:
        block = super()._block(drop_path)
        block.attn.logit_cap = self.logit_cap
        return block


_CLIP = partial(Preprocessing, frame_stride=4, image_size=288, mean=(0, 0, 0), std=(1, 1, 1))
_videoprism = partial(
    VideoPrismVariant,
    num_classes=400,
    tubelet_size=(1, 18, 18),
    class_token=False,
    pool="mean_of_normed",
    temporal_depth=4,
    attentive_blocks=1,
    source="VideoPrism, arXiv 2402.13217",
    license="Apache-2.0",
    rename=rename,
    facts=facts,
)

VARIANTS: dict[str, Variant] = {
    "videoprism_base_patch18_288": _videoprism(
        dim=768, depth=12, num_heads=12, preprocessing=_CLIP(num_frames=16)
    ),
    "videoprism_large_patch18_288": _videoprism(
        dim=1024, depth=24, num_heads=16, preprocessing=_CLIP(num_frames=8)
    ),
}
