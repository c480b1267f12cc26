"""How many views of a video are classified, and how they become one answer."""

from dataclasses import dataclass
from typing import Literal, get_args

from stvit_video.settings.bounds import check_choice, check_least

Combine = Literal["mean_probability", "mean_logit"]


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How many views of a video are classified, and how they become one answer."""

    num_clips: int = 1
    """Clips, spread evenly over the video."""
    num_crops: Literal[1, 3] = 1
    """Squares along the long side: the centre, or both ends and the centre."""
    combine: Combine = "mean_probability"
    """Average the probabilities of the views, as the field does, or their logits."""

    def __post_init__(self) -> None:
        check_least("views", self, num_clips=1)
        check_choice("views", self, num_crops=(1, 3), combine=get_args(Combine))

    @property
    def num_views(self) -> int:
        """Forward passes per video."""
        return self.num_clips * self.num_crops
