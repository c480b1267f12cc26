"""Which parameters learn how fast: groups, the optimiser and the schedule."""

import math
from typing import Any, Protocol, cast

from timm.optim import (  # type: ignore[attr-defined]
    param_groups_layer_decay,
    param_groups_weight_decay,
)
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from stvit_video.settings.training import USUAL_WARMUP, OptimizerConfig


class Grouped(Protocol):
    """A network that says how its parameters learn, as timm asks: ours, or a detector on one."""

    def no_weight_decay(self) -> set[str]:
        """Name the parameters that never decay, besides those of one axis."""

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say which layer a parameter belongs to."""

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of each block in training."""


def build_optimizer(model: nn.Module, settings: OptimizerConfig) -> AdamW | SGD:
    """Return the optimiser over the groups of `parameter_groups`."""
    groups = parameter_groups(
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
        backbone_lr=settings.backbone_lr,
    )
    if settings.name == "sgd":
        momentum = settings.momentum
        return SGD(groups, lr=settings.lr, momentum=momentum, nesterov=settings.nesterov)
    return AdamW(groups, lr=settings.lr, betas=(0.9, settings.beta2))


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float | None = None,
    backbone_lr: float = 1.0,
) -> list[dict[str, Any]]:
    """Sort the parameters by weight decay and learning rate, as timm does by the model's own word.

    Matrices decay; norms, biases and what `model.no_weight_decay` names do not. With `layer_decay`
    the last layer of `model.group_matcher`, which holds the head, learns at `lr`, the last block at
    `layer_decay` times that, and so on down to the embedding. All but the head and the generators
    of semantic tokens learn at `backbone_lr` times their rate.
    """
    fixed = cast(Grouped, model).no_weight_decay()
    if layer_decay is None:
        groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=fixed)
    else:
        groups = param_groups_layer_decay(
            model, weight_decay, no_weight_decay_list=fixed, layer_decay=layer_decay
        )
    for group in groups:
        group["lr"] = lr * group.pop("lr_scale", 1.0)
    return groups if backbone_lr == 1 else _slow_down(groups, model, backbone_lr)


def _slow_down(
    groups: list[dict[str, Any]], model: nn.Module, backbone_lr: float
) -> list[dict[str, Any]]:
    """Split each group in what belongs to the backbone and what is new, where it holds both."""
    new = {id(parameter) for name, parameter in model.named_parameters() if is_new(name)}
    parts = []
    for group in groups:
        for wanted, factor in ((False, backbone_lr), (True, 1.0)):
            if parameters := [p for p in group["params"] if (id(p) in new) is wanted]:
                parts.append(group | {"params": parameters, "lr": factor * group["lr"]})
    return parts


def is_new(name: str) -> bool:
    """Whether a parameter is of what backbones do not hold: head, pooler, generator, detector."""
    return name.startswith(_NEW) or ".generator." in name


_NEW = (
    *("head.", "pooler.", "rpn.", "roi_heads."),
    *("backbone.fpn.", "backbone.pyramid.norms.", "backbone.pyramid.scalers."),
)


class Schedule:
    """Sets the learning rate of every group ahead of a step.

    It counts in the steps of today's epochs and holds today's settings, so that a run goes on well
    with another learning rate, weight decay, length or size of a batch.
    """

    def __init__(self, optimizer: Optimizer, settings: OptimizerConfig) -> None:
        """Take the groups as they are, the learning rate of each the highest of its own."""
        self.optimizer = optimizer
        self.settings = settings
        self.groups = [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ]
        self.scale = 1.0

    def lay_out(self, *, steps_per_epoch: int, num_epochs: int, videos_per_step: int) -> None:
        """Say how many steps there are, and how many videos all processes read for one."""
        self.steps_per_epoch = steps_per_epoch
        self.num_steps = steps_per_epoch * num_epochs
        warmup = self.settings.warmup_epochs
        epochs = USUAL_WARMUP if warmup is None else warmup
        self.warmup_steps = min(round(epochs * steps_per_epoch), self.num_steps)
        if self.settings.lr_per_videos is not None:
            self.scale = videos_per_step / self.settings.lr_per_videos

    @property
    def highest_lr(self) -> float:
        """Learning rate of the head after the warm-up."""
        return self.scale * self.settings.lr

    def set(self, *, epoch: int, step: int) -> None:
        """Set the groups for `step` of `epoch`, both counted from 0, whatever a checkpoint says."""
        factor = self.scale * self.factor(epoch * self.steps_per_epoch + step)
        for group, own in zip(self.optimizer.param_groups, self.groups, strict=True):
            group.update(own | {"lr": own["lr"] * factor})

    def factor(self, step: int) -> float:
        """Share of the highest learning rate at `step` of the run, counted from 0."""
        settings = self.settings
        if step < self.warmup_steps:
            done = (step + 1) / self.warmup_steps
            return settings.warmup_start + (1 - settings.warmup_start) * done
        least = settings.min_lr / settings.lr if settings.lr else 0.0
        if settings.schedule == "cosine":
            left = self._cosine(step)
        else:
            passed = sum(
                step >= epoch * self.steps_per_epoch for epoch in settings.milestones or ()
            )
            left = settings.step_factor**passed
        return least + (1 - least) * left

    def _cosine(self, step: int) -> float:
        """Half a cosine from 1 behind the warm-up, which would reach 0 after the last step."""
        done = (step - self.warmup_steps) / max(self.num_steps - self.warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
