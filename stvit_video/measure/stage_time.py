"""How long the parts of a network take inside one forward pass."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def time_modules(
    model: nn.Module, clips: Tensor, names: Sequence[str], *, num_rounds: int = 5
) -> dict[str, float]:
    """Seconds inside each named module in one forward pass on clips (B, C, T, H, W), medians.

    The device is synchronised at every border, so the sum exceeds an undisturbed pass. A module
    that holds another one includes it. `""` is the whole pass.
    """
    starts: dict[str, float] = {}
    spent = dict.fromkeys(names, 0.0)
    rounds: dict[str, list[float]] = {name: [] for name in names}
    handles = []
    modules = dict(model.named_modules())
    for name in names:

        def enter(_module: nn.Module, _inputs: Any, name: str = name) -> None:
            starts[name] = _now(clips.device)

        def leave(_module: nn.Module, _inputs: Any, _outputs: Any, name: str = name) -> None:
            spent[name] += _now(clips.device) - starts[name]

        handles.append(modules[name].register_forward_pre_hook(enter))
        handles.append(modules[name].register_forward_hook(leave))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for round_index in range(num_rounds + 1):  # the first one warms up
                for name in names:
                    spent[name] = 0.0
                model(clips)
                if round_index:
                    for name in names:
                        rounds[name].append(spent[name])
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return {name: statistics.median(seconds) for name, seconds in rounds.items()}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
