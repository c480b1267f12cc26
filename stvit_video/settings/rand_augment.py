"""Settings of RandAugment, written as timm writes them, and meaning the same.

`rand-m7-n4-mstd0.5-inc1` chooses 4 of 15 operations, does each with probability 0.5, at a strength
drawn around 7 of 10.
"""

import re
from dataclasses import dataclass

from stvit_video.errors import ConfigError
from stvit_video.settings.bounds import Count, NotNegative, Share, check_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class RandAugmentSetting:
    """What a setting such as `rand-m7-n4-mstd0.5-inc1` says."""

    magnitude: NotNegative = 10.0
    """Mean strength; 10 is the strongest."""
    magnitude_std: NotNegative = 0.0
    """Standard deviation of the strength."""
    num_operations: Count = 2
    """Operations drawn per clip, with replacement."""
    probability: Share = 0.5
    """That a drawn operation is done."""

    def __post_init__(self) -> None:
        check_settings("augmentation.rand_augment", self)


def parse_rand_augment(text: str) -> RandAugmentSetting:
    """Read a setting in timm's form; only `inc1`, operations that grow with strength, is known.

    Raises:
        ConfigError: the text is no such setting.
    """
    name, *parts = text.split("-")
    values = {m[1]: float(m[2]) for p in parts if (m := re.fullmatch(r"([a-z]+)(\d+\.?\d*)", p))}
    known = {"m", "n", "mstd", "p", "inc"}
    if name != "rand" or len(values) != len(parts) or not values.keys() <= known:
        raise ConfigError(
            f"augmentation.rand_augment ({text}) must read like rand-m7-n4-mstd0.5-inc1"
        )
    if values.get("inc") != 1:
        raise ConfigError(f"augmentation.rand_augment ({text}) must hold inc1")
    return RandAugmentSetting(
        magnitude=values.get("m", 10.0),
        magnitude_std=values.get("mstd", 0.0),
        num_operations=int(values.get("n", 2)),
        probability=values.get("p", 0.5),
    )
