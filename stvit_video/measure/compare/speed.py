"""Time models by name, side by side: shared by the commands that compare models."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stvit_video.datasets.from_settings import build_evaluation_loader, read_videos
from stvit_video.errors import ConfigError
from stvit_video.measure.ceiling import MatmulCeiling, measure_matmul_ceiling
from stvit_video.measure.compare.cost import ModelCost, stage_parts
from stvit_video.measure.compare.words import build_word, example_clips, find_model
from stvit_video.measure.stage_time import time_modules
from stvit_video.measure.sweep import sweep_batches
from stvit_video.measure.throughput import ThroughputReport, compare_throughput
from stvit_video.models.device import choose_device
from stvit_video.models.network.reduction import RunLengthTransformer
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.timing import Mode, SpeedSettings
from stvit_video.settings.views import ViewConfig
from stvit_video.video.pixels.crops import normalize_clip

PASSES = {"inference": 1, "training": 3}
"""Forward passes that a step is worth: a backward pass costs two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedRecord:
    """Speed of one model at one batch size."""

    model: str
    clip: str
    """Frames x height x width."""
    mode: Mode
    batch_size: int
    report: ThroughputReport | None
    """None where the memory did not suffice."""
    utilisation: float | None
    """Share of the matmul ceiling that the model's MACs reach; a training step counts 3 passes."""
    mean_tokens: float | None
    """Tokens that a method keeps whose count depends on the pixels; None for all others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """Speed of one model from video files to logits."""

    model: str
    clips_per_second: float
    data_wait_share: float
    """Share of the time in which the model waited for clips."""
    num_clips: int
    num_failed_videos: int
    batch_size: int
    num_workers: int
    device: str


def measure_ceiling(settings: SpeedSettings) -> MatmulCeiling:
    """Measure the matmul ceiling on the device and in the number format of the settings."""
    return measure_matmul_ceiling(choose_device(settings.device), getattr(torch, settings.dtype))


def measure_speed(
    costs: Sequence[ModelCost], settings: SpeedSettings, ceiling: MatmulCeiling
) -> list[SpeedRecord]:
    """Time models in turns at every batch size, and halve the step where the memory ends."""
    device = choose_device(settings.device)
    weights = torch.float32 if settings.mode == "training" else getattr(torch, settings.dtype)
    models: dict[str, nn.Module] = {}
    for cost in costs:
        word = find_model(cost.model)
        if word.fused and settings.mode == "training":
            raise ConfigError(f"model {cost.model} is fused for inference; train it without :fused")
        models[cost.model] = build_word(word).to(device, weights)

    def measure(batch_size: int) -> tuple[dict[str, Tensor], dict[str, ThroughputReport]]:
        clips = _clips(models, batch_size, device, weights)
        return clips, compare_throughput(
            models,
            clips,
            mode=settings.mode,
            num_rounds=settings.num_rounds,
            compile_mode=settings.compile,
            autocast_dtype=_autocast(settings),
        )

    records = []
    for point in sweep_batches(measure, settings.batch_sizes):
        for cost in costs:
            clips, reports = point.result or ({}, {})
            model, report = models[cost.model], reports.get(cost.model)
            tokens = None
            if report is not None and isinstance(model, RunLengthTransformer):
                tokens = float(model.count_tokens(clips[cost.model]).float().mean())
            records.append(_record(cost, point.batch_size, report, settings, ceiling, tokens))
    return records


def measure_from_files(
    costs: Sequence[ModelCost], videos: Path, settings: SpeedSettings, *, num_workers: int
) -> list[FileRecord]:
    """Classify every video once with each model, decoding included.

    Raises:
        DatasetError: there are no videos, or they cannot be listed.
    """
    device = choose_device(settings.device)
    manifest = read_videos(videos)
    records = []
    for cost in costs:
        model = build_word(find_model(cost.model)).to(device).eval()
        wanted = model.preprocessing
        assert isinstance(wanted, Preprocessing)
        loader = build_evaluation_loader(
            manifest.records,
            wanted,
            data=DataConfig(num_workers=num_workers),
            views=ViewConfig(),
            batch_size=settings.batch_sizes[0],
            device=device,
        )
        start = time.perf_counter()
        num_clips = num_failed = 0
        with torch.inference_mode():
            for batch in loader:
                num_failed += len(batch.failures)
                if len(batch.label):
                    logits = model(normalize_clip(batch.clip.to(device), wanted))
                    num_clips += len(logits.cpu())
        seconds = time.perf_counter() - start
        records.append(
            FileRecord(
                model=cost.model,
                clips_per_second=num_clips / seconds,
                data_wait_share=loader.waited_seconds / seconds,
                num_clips=num_clips,
                num_failed_videos=num_failed,
                batch_size=settings.batch_sizes[0],
                num_workers=num_workers,
                device=str(device),
            )
        )
    return records


def measure_stages(
    costs: Sequence[ModelCost], settings: SpeedSettings
) -> dict[str, dict[str, float]]:
    """Seconds of each part of one forward pass, uncompiled, of the models made of our stages."""
    device = choose_device(settings.device)
    dtype = torch.float32 if settings.mode == "training" else getattr(torch, settings.dtype)
    seconds = {}
    for cost in costs:
        model = build_word(find_model(cost.model)).to(device, dtype)
        parts = stage_parts(model)
        if parts:
            clips = example_clips(model, settings.batch_sizes[0]).to(device, dtype)
            names = [name for whole, inner in parts.values() for name in (whole, *inner)]
            found = time_modules(model, clips, names, num_rounds=settings.num_rounds)
            seconds[cost.model] = {
                label: found[whole] - sum(found[name] for name in inner)
                for label, (whole, inner) in parts.items()
            }
    return seconds


def _record(
    cost: ModelCost,
    batch_size: int,
    report: ThroughputReport | None,
    settings: SpeedSettings,
    ceiling: MatmulCeiling,
    mean_tokens: float | None,
) -> SpeedRecord:
    macs = cost.flops.macs * PASSES[settings.mode]
    utilisation = ceiling.utilisation(macs * report.clips_per_second) if report else None
    return SpeedRecord(
        model=cost.model,
        clip=cost.clip,
        mode=settings.mode,
        batch_size=batch_size,
        report=report,
        utilisation=utilisation,
        mean_tokens=mean_tokens,
    )


def _clips(
    models: dict[str, nn.Module], batch_size: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Models of the same input share one batch."""
    shared: dict[object, Tensor] = {}
    for model in models.values():
        if model.preprocessing not in shared:
            clips = example_clips(model, batch_size)
            shared[model.preprocessing] = clips.to(device, dtype)
    return {name: shared[model.preprocessing] for name, model in models.items()}


def _autocast(settings: SpeedSettings) -> torch.dtype | None:
    if settings.mode == "inference" or settings.dtype == "float32":
        return None
    return getattr(torch, settings.dtype)
