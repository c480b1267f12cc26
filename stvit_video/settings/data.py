"""Where the videos are, how clips are read from them, what happens to their pixels.

No slots: jsonargparse reads the defaults by `vars`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import (
    Count,
    NotNegative,
    PartShare,
    Positive,
    Range,
    Share,
    Whole,
    Zoom,
    check_rising,
    check_settings,
)
from stvit_video.settings.paths import InputPath, VideosPath
from stvit_video.settings.rand_augment import parse_rand_augment

Backend = Literal["auto", "decord", "pyav", "torchcodec"]
"""Names of the decoders; `auto` is the choice among them."""
ScanBackend = Literal["auto", "pyav"]
"""What opens a video that is scanned: PyAV and then decord, or PyAV alone."""
Layout = Literal[
    "kinetics400",
    "kinetics600",
    "kinetics700",
    "ssv1",
    "ssv2",
    "jester",
    "ucf101",
    "hmdb51",
    "diving48",
    "moments",
    "charades",
    "epic-verbs",
    "epic-nouns",
    "class-folders",
    "list",
    "multi-label-list",
]
"""Data set, or kind of annotation, that `data manifest` reads."""
SamplingKind = Literal["dense", "segments", "uniform"]
ShortVideo = Literal["repeat_last", "loop", "clamp"]
"""What a clip reads past the end of a video that is shorter than the clip.

5 frames at stride 4 of a video of 10 frames, by rule:
`repeat_last` 0 4 8 8 8 repeats the last frame that the clip reads inside the video,
`loop`        0 4 8 2 6 starts again from the beginning,
`clamp`       0 4 8 9 9 stays on the last frame of the video.
"""

MOST_PIXELS = 35_651_584
"""Of a picture of the highest level of H.264, HEVC and AV1, somewhat above 8192x4320; 102 MiB as
RGB."""

_Part = Annotated[float, Range(above=0, most=1)]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the videos are and how clips are read from them."""

    train: VideosPath | None = None
    """Folder of class folders, or a manifest; of a detector COCO's JSON or AVA's CSV."""
    val: VideosPath | None = None
    """The same, for the accuracy that is watched during training; None watches none."""
    train_media: InputPath | None = None
    """Folder of the pictures or videos that annotations name, of a detector alone; None takes the
    folder of the annotations."""
    val_media: InputPath | None = None
    """The same for `val`."""
    sampling: SamplingKind = "dense"
    """`dense`: neighbouring frames at a stride. `segments`: one frame of each of T equal parts."""
    target_fps: Positive | None = None
    """Frames per second at which the frame stride counts; None counts frames of the file."""
    short_video: ShortVideo = "repeat_last"
    """What a clip reads past the end of a video that is shorter than it."""
    backend: Backend = "auto"
    """What decodes; `auto` takes the fastest that is frame-exact for the file."""
    max_pixels: Count = MOST_PIXELS
    """Width times height of a picture above which a video counts as one that does not decode."""
    num_workers: Whole = 2
    """Processes that decode; 0 decodes in the training process."""
    prefetch_batches: Count = 2
    """Batches that each of those processes holds ready; more bridge a storage that answers late."""
    max_failed_share: Share = 0.01
    """Share of the videos that training may skip because they do not decode."""

    def __post_init__(self) -> None:
        check_settings("data", self)


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """What training does to the pixels of a clip, the same for all its frames."""

    crop: Literal["random_resized", "scale_jitter", "center"] = "random_resized"
    """`random_resized`: a part of the frame by area and shape. `scale_jitter`: a random short
    side, then a square at a random place. `center`: as evaluation does."""
    crop_area: tuple[_Part, _Part] = (0.5, 1.0)
    """Share of the frame that a `random_resized` crop covers, least and most."""
    crop_ratio: tuple[Positive, Positive] = (0.75, 4 / 3)
    """Width over height of a `random_resized` crop, least and most."""
    scale_jitter: tuple[Zoom, Zoom] = (256 / 224, 320 / 224)
    """Short side before a `scale_jitter` crop, least and most, as a multiple of the crop."""
    flip: Share = 0.5
    """Probability of a horizontal flip; `left` in a class name then becomes `right`."""
    color_jitter: Share = 0.0
    """Largest relative change of brightness, contrast and saturation; hue changes by a quarter."""
    color_probability: Share = 1.0
    """Probability that they are changed."""
    gray: Share = 0.0
    """Probability that a clip loses its colours."""
    rand_augment: str = ""
    """Setting such as `rand-m7-n4-mstd0.5-inc1`; empty for none. One draw per clip."""
    rand_augment_on: Literal["crop", "frame"] = "crop"
    """`crop`: what was cropped, on the device. `frame`: the whole frame before, as published, which
    the processes that decode do."""
    erase: Share = 0.0
    """Probability of erasing one box from all frames of a clip; runs on the device."""
    mixup: NotNegative = 0.0
    """Alpha of mixup, on the device; 0 for none."""
    cutmix: NotNegative = 0.0
    """Alpha of cutmix, on the device; 0 for none."""
    label_smoothing: PartShare = 0.0
    """Share of the target that is spread over all classes."""

    def __post_init__(self) -> None:
        check_settings("augmentation", self)
        check_rising("augmentation", self, "crop_area", "crop_ratio", "scale_jitter")
        if self.rand_augment:
            parse_rand_augment(self.rand_augment)
        elif self.rand_augment_on == "frame":
            raise ConfigError(
                "augmentation.rand_augment_on (frame) needs augmentation.rand_augment, such as"
                " rand-m7-n4-mstd0.5-inc1"
            )
