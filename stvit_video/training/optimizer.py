"""Which parameters learn how fast: groups, AdamW and the schedule."""

import math
from typing import Any

from timm.optim import (  # type: ignore[attr-defined]
    param_groups_layer_decay,
    param_groups_weight_decay,
)
from torch.optim import AdamW

from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.training import USUAL_WARMUP, OptimizerConfig


def build_optimizer(model: VideoModel, settings: OptimizerConfig) -> AdamW:
    """Return AdamW over the groups of `parameter_groups`."""
    groups = parameter_groups(
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
    )
    return AdamW(groups, lr=settings.lr, betas=(0.9, settings.beta2))


def parameter_groups(
    model: VideoModel, *, lr: float, weight_decay: float, layer_decay: float | None = None
) -> list[dict[str, Any]]:
    """Sort the parameters by weight decay and learning rate, as timm does by the model's own word.

    Matrices decay; norms, biases and what `model.no_weight_decay` names do not. With `layer_decay`
    the last layer of `model.group_matcher`, which holds the head, learns at `lr`, the last block at
    `layer_decay` times that, and so on down to the embedding.
    """
    fixed = model.no_weight_decay()
    if layer_decay is None:
        groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=fixed)
    else:
        groups = param_groups_layer_decay(
            model, weight_decay, no_weight_decay_list=fixed, layer_decay=layer_decay
        )
    for group in groups:
        group["lr"] = lr * group.pop("lr_scale", 1.0)
    return groups


class Schedule:
    """Sets the learning rate of every group ahead of a step.

    It counts in the steps of today's epochs and holds today's settings, so that a run goes on well
    with another learning rate, weight decay, length or size of a batch.
    """

    def __init__(self, optimizer: AdamW, settings: OptimizerConfig) -> None:
        """Take the rates of the groups as they are, each the highest of its own."""
        self.optimizer = optimizer
        self.lrs = [group["lr"] for group in optimizer.param_groups]
        self.weight_decays = [group["weight_decay"] for group in optimizer.param_groups]
        self.warmup = USUAL_WARMUP if settings.warmup_epochs is None else settings.warmup_epochs

    def lay_out(self, *, steps_per_epoch: int, num_epochs: int) -> None:
        """Say how many steps there are."""
        self.steps_per_epoch = steps_per_epoch
        self.num_steps = steps_per_epoch * num_epochs
        self.warmup_steps = min(round(self.warmup * steps_per_epoch), self.num_steps)

    def set(self, *, epoch: int, step: int) -> None:
        """Set the rates for `step` of `epoch`, both counted from 0."""
        factor = cosine_factor(
            epoch * self.steps_per_epoch + step,
            num_steps=self.num_steps,
            warmup_steps=self.warmup_steps,
        )
        groups = zip(self.optimizer.param_groups, self.lrs, self.weight_decays, strict=True)
        for group, lr, weight_decay in groups:
            group["lr"], group["weight_decay"] = lr * factor, weight_decay


def cosine_factor(step: int, *, num_steps: int, warmup_steps: int) -> float:
    """Share of the highest learning rate at `step`, counted from 0.

    Linear up to 1 over the warm-up, then half a cosine that would reach 0 after the last step.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
