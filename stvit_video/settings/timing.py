"""How models are timed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stvit_video.settings.bounds import Count, check_settings

Mode = Literal["inference", "training"]
Modes = Literal["inference", "training", "both"]
DtypeName = Literal["float32", "bfloat16", "float16"]
CompileMode = Literal["off", "blocks", "default", "reduce-overhead", "cuda-graph", "max-autotune"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedSettings:
    """How to time."""

    mode: Mode = "inference"
    batch_sizes: tuple[Count, ...] = (8,)
    """Clips of a batch, the same for all models; rising until the memory ends."""
    device: str = "auto"
    dtype: DtypeName = "float32"
    """Of weights and clips; in training of the autocast over float32 weights."""
    compile: CompileMode = "off"
    num_rounds: Count = 10

    def __post_init__(self) -> None:
        check_settings("", self)


def plan_timing(
    mode: Modes,
    *,
    batch_sizes: Sequence[int],
    device: str,
    dtype: DtypeName,
    compile: CompileMode,
    num_rounds: int,
) -> list[SpeedSettings]:
    """Turn what a user asked for into settings, one for each mode.

    Raises:
        ConfigError: fewer than one round, or no clip in a batch.
    """
    modes: Sequence[Mode] = ("inference", "training") if mode == "both" else (mode,)
    return [
        SpeedSettings(
            mode=each,
            batch_sizes=tuple(batch_sizes),
            device=device,
            dtype=dtype,
            compile=compile,
            num_rounds=num_rounds,
        )
        for each in modes
    ]
