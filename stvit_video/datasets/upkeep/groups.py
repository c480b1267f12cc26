"""Which groups of pictures suit a purpose."""

from dataclasses import dataclass

from stvit_video.errors import ConfigError
from stvit_video.settings.data import DataConfig
from stvit_video.settings.encode import Purpose


@dataclass(frozen=True, slots=True)
class PictureGroups:
    """Which pictures of a file can be decoded without which others."""

    made_for: str
    """What the manifest says of the file: `any`, `segments`, or `dense4` for a step of 4."""
    gop: int
    """Frames from one key frame to the next."""
    step: int = 1
    """Every picture whose number is a multiple of it is a reference, those between are not."""


def plan_groups(purpose: Purpose, *, stride: int | None, gop: int | None) -> PictureGroups:
    """Choose the groups of pictures for a purpose; a `gop` that is given counts.

    Clips of stride 4 that start at multiples of 4 then read only what they need. Where a stride is
    too long for x264, its largest divisor that is not takes its place: 16 for 32.

    Raises:
        ConfigError: stride and purpose, or gop and purpose, do not go together.
    """
    if purpose != "dense":
        if stride is not None:
            raise ConfigError(f"stride ({stride}) is for dense clips; give --for dense with it")
        if purpose == "any":
            return PictureGroups("any", gop or _GOP_FOR_ANY)
        if gop not in (None, 1):
            raise ConfigError(f"encode.gop ({gop}) must be 1 for segments; leave it out")
        return PictureGroups("segments", 1)
    if stride is None:
        raise ConfigError("stride must be given for dense clips, such as --for dense --stride 4")
    if stride == 1:
        return PictureGroups("any", gop or _GOP_FOR_ANY)
    step = max(number for number in range(1, _LONGEST_STEP + 1) if stride % number == 0)
    if step == 1:
        raise ConfigError(
            f"stride ({stride}) must be at most {_LONGEST_STEP} or have a divisor from 2 to"
            f" {_LONGEST_STEP}; give --for any"
        )
    gop = gop or _GOP_FOR_DENSE // step * step
    if gop % step:
        raise ConfigError(f"encode.gop ({gop}) must be a multiple of {step}, the step of the clips")
    return PictureGroups(f"dense{step}", gop, step)


def purpose_of(data: DataConfig) -> Purpose:
    """Return how a training with these settings reads its videos."""
    if data.sampling != "dense":
        return "segments"
    return "any" if data.target_fps else "dense"


_GOP_FOR_ANY = 16
_GOP_FOR_DENSE = 32
_LONGEST_STEP = 17  # x264 takes at most 16 pictures between two references
