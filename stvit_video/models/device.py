"""Which devices a model runs on."""

import os

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


def choose_devices(name: str = "auto") -> list[torch.device]:
    """Return the devices that share a work; `auto` takes all GPUs of this machine, or the CPU.

    Of the processes that torchrun started, each takes the GPU of its own number. Raises as
    `choose_device`.
    """
    num_gpus = torch.cuda.device_count()
    if "LOCAL_RANK" in os.environ and name in ("auto", "cuda") and num_gpus:
        return [choose_device(f"cuda:{os.environ['LOCAL_RANK']}")]
    if name == "auto" and num_gpus > 1:
        return [torch.device("cuda", number) for number in range(num_gpus)]
    return [choose_device(name)]
