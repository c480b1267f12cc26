"""What each task has a use for: a setting that it does not know is refused by its name."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.detection import DetectorConfig, DetectorName


def check_task(detector: DetectorConfig, sections: Mapping[str, object]) -> None:
    """Refuse settings that a training has no use for; what is turned off never is.

    Raises:
        ConfigError: naming the first.
    """
    task = detector.name
    for section, name, value in _changed({**sections, "detector": detector}):
        if task is None:
            if section == "detector" or name in _OF_DETECTORS:
                raise ConfigError(f"{section}.{name} is for detectors; set detector.name as well")
        elif (section, name, value) == ("train", "strategy", "fsdp"):
            raise ConfigError(f"train.strategy (fsdp) is for classifiers; detector.name {task}")
        elif task in get_args(DetectorName) and name in _NOT_OF_IMAGES.get(section, ()):
            raise ConfigError(f"{section}.{name} is for clips; detector.name {task} reads images")
        elif task == "actions" and name in _NOT_OF_ACTIONS.get(section, ()):
            raise ConfigError(
                f"{section}.{name} ({value}) has no place in detector.name actions, which reads"
                " boxes of whole clips; leave it out"
            )


def _changed(sections: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield section, name and value of the settings that are on and differ from their defaults."""
    for section, settings in sections.items():
        for entry in fields(settings):
            value = getattr(settings, entry.name)
            if entry.name != "name" and value and value != entry.default:
                yield section, entry.name, value


_OF_DETECTORS = ("train_media", "val_media")
_ALL_OF_DISTILL = ("teacher", "weight", "temperature", "tokens")
_NOT_OF_IMAGES: dict[str, tuple[str, ...]] = {
    "model": (
        *("reduction", "class_token", "attentive_blocks", "attentive_layers", "num_frames"),
        *("frame_stride", "pretrained_probe", "head_dropout", "head_init_scale"),
    ),
    "data": ("sampling", "target_fps", "short_video", "backend"),
    "augmentation": tuple(e.name for e in fields(AugmentationConfig) if e.name != "flip"),
    "views": ("num_clips", "num_crops", "short_side", "join_clips", "combine"),
    "train": ("clips_per_video", "share_frames", "compile"),
    "distill": _ALL_OF_DISTILL,
    "detector": ("labels", "excluded", "first_second"),
}
_NOT_OF_ACTIONS: dict[str, tuple[str, ...]] = {
    "model": ("reduction", "attentive_blocks", "attentive_layers", "pretrained_probe"),
    "data": ("sampling", "short_video"),
    "augmentation": (
        *("color_jitter", "gray", "rand_augment", "erase", "mixup", "cutmix"),
        "label_smoothing",
    ),
    "views": ("num_clips", "num_crops", "join_clips", "combine"),
    "train": ("clips_per_video", "share_frames", "compile"),
    "distill": _ALL_OF_DISTILL,
    "detector": ("min_size", "train_min_sizes", "score_threshold"),
}
