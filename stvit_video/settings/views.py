"""How many views of a video are classified, and how they become one answer."""

from dataclasses import dataclass
from typing import Literal

from stvit_video.settings.bounds import Clips, Zoom, check_settings

NumCrops = Literal[1, 3]
Combine = Literal["mean_probability", "mean_logit"]
FeatureKind = Literal["pooled", "tokens", "grid"]


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How many views of a video are classified, and how they become one answer."""

    num_clips: Clips = 1
    """Clips, spread evenly over the video."""
    num_crops: NumCrops = 1
    """Squares along the long side: the centre, or both ends and the centre."""
    short_side: Zoom | None = None
    """Short side of a frame before it is cropped, as a multiple of the crop; None for the
    model's."""
    join_clips: bool = False
    """Let an attentive pooler read the tokens of all clips of a crop at once, as V-JEPA 2's probes
    were trained to."""
    combine: Combine = "mean_probability"
    """Average the probabilities of the views, as the field does, or their logits."""

    def __post_init__(self) -> None:
        check_settings("views", self)

    def views_at_once(self, batch_size: int) -> int:
        """Return how many views a forward pass takes: `batch_size`, or whole videos to join."""
        if not self.join_clips:
            return batch_size
        return max(batch_size // self.num_views, 1) * self.num_views

    @property
    def num_views(self) -> int:
        """Forward passes per video."""
        return self.num_clips * self.num_crops
