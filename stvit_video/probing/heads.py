"""Probes: heads that differ in learning rate and weight decay and learn from the same batches.

Legend: B views in a batch, N tokens, D width, K classes, M videos, V views of a video.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import isfinite
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from stvit_video.errors import TrainingError
from stvit_video.evaluation.views import combine_views
from stvit_video.models.layers.attentive import AttentivePooler
from stvit_video.models.network.video_model import VideoModel
from stvit_video.probing.features import Features
from stvit_video.settings.probe import ProbeConfig
from stvit_video.settings.training import OptimizerConfig
from stvit_video.settings.views import Combine
from stvit_video.training.losses import classification_loss
from stvit_video.training.optimizer import Schedule

_READ_AT_ONCE = 512
_CONSTANT = 1e-6
"""Relative deviation below which a number says nothing."""


class Probe(nn.Module):
    """A linear layer, on vectors of mean 0 and variance 1, or on what a pooler of its own makes."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: VideoModel) -> None:
        """Begin with copies of the pooler and the head of `model`."""
        super().__init__()
        self.pooler: AttentivePooler | None = copy.deepcopy(model.pooler)
        self.head = cast(nn.Linear, copy.deepcopy(model.head))
        self.register_buffer("mean", torch.zeros(self.head.in_features))
        self.register_buffer("std", torch.ones(self.head.in_features))

    def forward(self, features: Tensor) -> Tensor:
        """Classify: vectors (B, D), or tokens (B, N, D) or (B, N, D + 1) -> logits (B, K)."""
        if self.pooler is None:
            return self.head((features - self.mean) / self.std)
        dim = self.head.in_features
        tokens, size = features[..., :dim], features[..., dim:]
        key_bias = size.log().mT[:, None] if size.shape[-1] else None
        return self.head(self.pooler(tokens, key_bias))

    @torch.no_grad()
    def put_into(self, model: VideoModel) -> None:
        """Give a model head and pooler, which then read what the model makes itself."""
        weight = self.head.weight / self.std
        model.head.load_state_dict({"weight": weight, "bias": self.head.bias - weight @ self.mean})
        if self.pooler is not None:
            assert model.pooler is not None
            model.pooler.load_state_dict(self.pooler.state_dict())


@dataclass(frozen=True, kw_only=True)
class ProbeGrid:
    """Probes of all learning rates and weight decays."""

    probes: list[Probe]
    rates: list[tuple[float, float]]
    """Learning rate and weight decay of each."""
    settings: ProbeConfig
    multi_label: bool
    """Whether a video may be of several classes."""
    device: torch.device

    @classmethod
    def of(cls, model: VideoModel, settings: ProbeConfig, *, device: torch.device) -> Self:
        """Make a probe of the head of `model` for each pair."""
        rates = list(product(settings.lrs, settings.weight_decays))
        return cls(
            probes=[Probe(model).to(device) for _ in rates],
            rates=rates,
            settings=settings,
            multi_label=model.multi_label,
            device=device,
        )

    def fit(
        self, train: Features, targets: Tensor, advance: Callable[[int], object]
    ) -> list[float]:
        """Train on all views of the videos, targets (M,) or (M, K); `advance` counts epochs.

        Returns the mean losses of the last epoch, probe by probe.

        Raises:
            TrainingError: no probe has a loss that is a number.
        """
        settings, num_rows = self.settings, len(train) * train.num_views
        self._standardize(train)
        optimizer = AdamW([group for pair in zip(self.probes, self.rates, strict=True)
                           for group in _groups(*pair)])  # fmt: skip
        schedule = Schedule(
            optimizer, OptimizerConfig(lr=1.0, warmup_epochs=settings.warmup_epochs)
        )
        steps = -(-num_rows // settings.batch_size)
        schedule.lay_out(steps_per_epoch=steps, num_epochs=settings.epochs, videos_per_step=1)
        generator = torch.Generator().manual_seed(settings.seed)
        for epoch in range(settings.epochs):
            sums = torch.zeros(len(self.probes), device=self.device)
            order = torch.randperm(num_rows, generator=generator)
            for step, rows in enumerate(order.split(settings.batch_size)):
                schedule.set(epoch=epoch, step=step)
                videos = rows // train.num_views
                features = self._bring(train.of(videos, rows % train.num_views))
                sums += len(rows) * self._step(optimizer, features, targets[videos])
            losses: list[float] = (sums / num_rows).tolist()
            if not any(map(isfinite, losses)):
                raise TrainingError(
                    f"the loss of every probe is no number in epoch {epoch + 1}; lower probe.lrs"
                )
            advance(1)
        return losses

    @torch.inference_mode()
    def score(self, val: Features, combine: Combine) -> list[Tensor]:
        """Classify all videos of the features: (M, K) for each probe."""
        scores: list[list[Tensor]] = [[] for _ in self.probes]
        for views in val.in_order(_READ_AT_ONCE):  # (B, V, ...)
            features = self._bring(views.flatten(0, 1))
            for probe, own in zip(self.probes, scores, strict=True):
                logits = self._run(probe.eval(), features).unflatten(0, views.shape[:2]).cpu()
                own += [combine_views(x, combine, multi_label=self.multi_label) for x in logits]
        return [torch.stack(own) for own in scores]

    def _step(self, optimizer: AdamW, features: Tensor, target: Tensor) -> Tensor:
        """Let each probe learn from a batch; return their losses."""
        optimizer.zero_grad()
        target = target.to(self.device, non_blocking=True)
        losses = []
        for probe in self.probes:
            loss = classification_loss(
                self._run(probe.train(), features),
                target,
                smoothing=self.settings.label_smoothing,
                multi_label=self.multi_label,
            )
            loss.backward()
            losses.append(loss.detach())
        optimizer.step()
        return torch.stack(losses)

    def _run(self, probe: Probe, features: Tensor) -> Tensor:
        in_bfloat16 = self.device.type == "cuda" and probe.pooler is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=in_bfloat16):
            return probe(features).float()

    def _bring(self, features: Tensor) -> Tensor:
        if self.device.type == "cuda":
            features = features.pin_memory()
        return features.to(self.device, non_blocking=True).float()

    def _standardize(self, features: Features) -> None:
        """Let linear probes read numbers of mean 0 and variance 1 over the training views.

        One that is the same in all of them stays as large as it is.
        """
        if self.probes[0].pooler is not None:
            return
        total = torch.zeros(2, self.probes[0].head.in_features, dtype=torch.float64)
        for views in features.in_order(_READ_AT_ONCE):
            read = views.flatten(0, 1).double()
            total += torch.stack([read.sum(dim=0), read.square().sum(dim=0)])
        mean, square = total / (len(features) * features.num_views)
        std = (square - mean.square()).clamp_min(0).sqrt()
        std[std < _CONSTANT * (1 + mean.abs())] = 1.0
        for probe in self.probes:
            probe.mean.copy_(mean)
            probe.std.copy_(std)


def _groups(probe: Probe, rates: tuple[float, float]) -> list[dict[str, object]]:
    """Let matrices decay, and nothing else."""
    lr, weight_decay = rates
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in probe.named_parameters():
        parts[parameter.ndim > 1 and name.endswith("weight")].append(parameter)
    return [
        {"params": parameters, "lr": lr, "weight_decay": weight_decay if decays else 0.0}
        for decays, parameters in parts.items()
    ]
