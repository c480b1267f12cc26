"""What a network finds in pictures or clips, beside or in place of one class for a whole clip."""

from dataclasses import dataclass
from typing import Literal

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import Count, NotNegative, Share, check_settings
from stvit_video.settings.paths import InputPath, LabelsPath

DetectorName = Literal["mask_rcnn", "faster_rcnn", "retinanet"]
"""Detectors of torchvision, which find objects in pictures."""
TaskHead = Literal["mask_rcnn", "faster_rcnn", "retinanet", "actions"]
"""The same, and `actions`: what persons in given boxes of a clip do, as in AVA."""


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """What reads the feature maps of the network."""

    name: TaskHead | None = None
    """`mask_rcnn`, `faster_rcnn` or `retinanet`: objects in pictures, from COCO annotations.
    `actions`: actions of persons in boxes of a clip, from AVA annotations. None classifies."""
    min_size: Count = 800
    """Short side of a picture for a detector, in pixels."""
    max_size: Count = 1333
    """Longest that the long side may become, of a clip, too."""
    train_min_sizes: tuple[Count, ...] | None = None
    """Short sides that training draws one of for every picture; None takes `min_size`."""
    score_threshold: Share = 0.05
    """Score below which a box is left out of an answer."""
    labels: LabelsPath | None = None
    """Label map of `actions`, such as ava_action_list_v2.2.pbtxt."""
    excluded: InputPath | None = None
    """Key frames that `actions` are not validated on: AVA's excluded timestamps."""
    first_second: NotNegative = 0.0
    """Second of a film at which its file begins, of `actions`: 900 where AVA's were trimmed."""

    def __post_init__(self) -> None:
        check_settings("detector", self)
        if self.name != "actions" and self.min_size > self.max_size:
            raise ConfigError(
                f"detector.min_size ({self.min_size}) must be at most detector.max_size"
                f" ({self.max_size})"
            )


@dataclass(frozen=True, kw_only=True)
class ActionFilesConfig:
    """What a detector of actions is measured on, beside annotations and films."""

    labels: LabelsPath | None = None
    """Label map of the actions that are measured, such as the 60 of AVA; None takes those of the
    model."""
    persons: InputPath | None = None
    """Detected persons, `video_id,second,x1,y1,x2,y2,,score`; None takes the annotated boxes."""
    person_threshold: Share = 0.8
    """Score from which on a detected person counts."""
    excluded: InputPath | None = None
    """Key frames that are left out, `video_id,second`."""
    first_second: NotNegative | None = None
    """Second of a film at which its file begins; None as in the training."""

    def __post_init__(self) -> None:
        check_settings("actions", self)
