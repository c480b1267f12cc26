"""Which device a model runs on."""

import torch

from stvit_video.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` takes the GPU where there is one.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device ({name}) is not here; use auto, cpu or cuda") from error
    return device
