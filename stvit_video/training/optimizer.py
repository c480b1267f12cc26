"""Which parameters learn how fast: groups, AdamW and the schedule."""

import math
import re
from typing import Any

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from stvit_video.settings.training import OptimizerConfig


def build_optimizer(model: nn.Module, settings: OptimizerConfig) -> AdamW:
    """Return AdamW over the groups of `parameter_groups`."""
    groups = parameter_groups(
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
    )
    return AdamW(groups, lr=settings.lr, betas=(0.9, settings.beta2))


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, layer_decay: float | None = None
) -> list[dict[str, Any]]:
    """Sort the parameters by weight decay and learning rate.

    Matrices named `weight` decay; norms, biases, positions, class tokens and global centres do not.
    With `layer_decay` the head learns at `lr`, the last block at `layer_decay` times that, and so
    on down to the embedding.
    """
    depth = 1 + max((_block_number(name) for name, _ in model.named_parameters()), default=-1)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim > 1 and name.endswith("weight")
        scale = 1.0 if layer_decay is None else layer_decay ** _layers_above(name, depth)
        groups.setdefault((scale, weight_decay if decays else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": lr * scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def build_schedule(
    optimizer: AdamW, settings: OptimizerConfig, *, num_steps: int, steps_per_epoch: float
) -> LambdaLR:
    """Return a schedule that is stepped after every step of the optimizer."""
    warmup_steps = min(round(settings.warmup_epochs * steps_per_epoch), num_steps)

    def factor(step: int) -> float:
        return cosine_factor(step, num_steps=num_steps, warmup_steps=warmup_steps)

    return LambdaLR(optimizer, factor)


def cosine_factor(step: int, *, num_steps: int, warmup_steps: int) -> float:
    """Share of the highest learning rate at `step`, counted from 0.

    Linear up to 1 over the warm-up, then half a cosine that would reach 0 after the last step.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _block_number(name: str) -> int:
    """Number of the block that a parameter belongs to; -1 for none."""
    match = re.match(r"blocks\.(\d+)\.", name)
    return int(match[1]) if match else -1


def _layers_above(name: str, depth: int) -> int:
    """Layers between a parameter and the head: 0 for head, norm and generators."""
    if name.startswith("embed."):
        return depth + 1
    number = _block_number(name)
    return depth - number if number >= 0 else 0
