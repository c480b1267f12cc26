"""Everything that one run of `stvit-video report` measures."""

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvit_video.errors import ConfigError
from stvit_video.measure.ceiling import MatmulCeiling
from stvit_video.measure.compare.cost import ModelCost, model_cost
from stvit_video.measure.compare.cost_tables import cost_record
from stvit_video.measure.compare.quality import agreement_with_first
from stvit_video.measure.compare.speed import (
    SpeedRecord,
    measure_ceiling,
    measure_speed,
    measure_stages,
)
from stvit_video.measure.compare.words import find_model
from stvit_video.settings.timing import SpeedSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """Everything that one run of the command measured."""

    costs: tuple[ModelCost, ...]
    speed: tuple[SpeedRecord, ...]
    ceiling: MatmulCeiling
    stage_seconds: Mapping[str, Mapping[str, float]]
    """Seconds of each part of a forward pass, by model."""
    accuracy: Mapping[str, float]
    """Top-1 in percent, measured elsewhere."""
    agreement: Mapping[str, float]
    """Top-1 the same as that of the first model, in percent."""
    pretrained: str | None
    absent: Mapping[str, str]
    """Models that could not be built here, and why."""

    def record(self) -> dict[str, Any]:
        """Make the JSON record."""
        return {
            "conditions": environment(),
            "costs": [cost_record(cost) for cost in self.costs],
            "speed": list(self.speed),
            "matmul_ceiling": self.ceiling,
            "stage_seconds": {name: dict(parts) for name, parts in self.stage_seconds.items()},
            "accuracy_percent": dict(self.accuracy),
            "agreement_percent": dict(self.agreement),
            "pretrained": self.pretrained,
            "absent": dict(self.absent),
        }


def measure_findings(
    models: Sequence[str],
    settings: Sequence[SpeedSettings],
    *,
    num_views: int,
    accuracy: Mapping[str, float],
    pretrained: Path | None,
    agreement_clips: int,
) -> Findings:
    """Count and time models, the first of which is the measure of the others.

    Raises:
        ConfigError: a model is unknown, or the first one cannot be built.
    """
    costs, absent = _count(models, num_views)
    ceiling = measure_ceiling(settings[0])
    return Findings(
        costs=tuple(costs),
        speed=tuple(r for each in settings for r in measure_speed(costs, each, ceiling)),
        ceiling=ceiling,
        stage_seconds=measure_stages(costs, settings[0]),
        accuracy=accuracy,
        agreement=agreement_with_first(
            [cost.model for cost in costs], pretrained=pretrained, num_clips=agreement_clips
        ),
        pretrained=None if pretrained is None else str(pretrained),
        absent=absent,
    )


def environment() -> dict[str, str]:
    """Say when, where and with which versions."""
    found = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in ("stvit-video", "torch", "torchvision", "timm", "transformers", "pytorchvideo"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def _count(models: Sequence[str], views: int) -> tuple[list[ModelCost], dict[str, str]]:
    """Count every model that can be built here; say of the others what they need.

    Raises:
        ConfigError: a model is unknown, or the first one cannot be built.
    """
    costs, absent = [], {}
    for model in models:
        find_model(model)
        try:
            costs.append(model_cost(model, num_views=views, allow_uncounted=True))
        except ConfigError as error:
            if model == models[0] or not isinstance(error.__cause__, ImportError):
                raise
            absent[model] = str(error)
    return costs, absent
