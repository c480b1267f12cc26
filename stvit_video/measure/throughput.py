"""Time forward passes and training steps of several models side by side, in turns.

Legend: B clips in a batch.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stvit_video.measure.steps import Mode, Step, build_step

_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class ThroughputReport:
    """Speed of one model on one device, with what is needed to repeat the measurement."""

    clips_per_second: float
    """Batch size over the median step."""
    median_step_seconds: float
    """Latency p50 of one step; queued steps of a round share their mean."""
    p90_step_seconds: float
    """Latency p90 of one step."""
    fastest_step_seconds: float
    slowest_step_seconds: float
    spread: float
    """Distance between the quartiles of the step time, as a share of its median."""
    ratio: float
    """Speed relative to the first model of the comparison: median over rounds of the ratio."""
    ratio_low: float
    """First decile of the ratio over rounds."""
    ratio_high: float
    """Last decile of the ratio over rounds."""
    warmup_seconds: float
    """First steps, compilation included; they are not in the other figures."""
    peak_memory_mib: float | None
    """Weights, optimiser state and the most that a step adds; None where it is not counted."""
    batch_size: int
    num_rounds: int
    steps_per_round: int
    mode: Mode
    compile_mode: str
    """How it was compiled: one of `measure.steps.compiled`."""
    device: str
    num_threads: int
    """Threads of one operator on the CPU."""
    dtype: str
    """Of the clips and the weights; under autocast `float32, bfloat16 autocast`."""


def measure_throughput(
    model: nn.Module,
    clips: Tensor,
    *,
    mode: Mode = "inference",
    num_rounds: int = 50,
    num_warmup_steps: int = 3,
    compile_mode: str = "off",
) -> ThroughputReport:
    """Time one model on `clips` (B, C, T, H, W), already on its device."""
    return compare_throughput(
        {"model": model},
        {"model": clips},
        mode=mode,
        num_rounds=num_rounds,
        num_warmup_steps=num_warmup_steps,
        compile_mode=compile_mode,
    )["model"]


def compare_throughput(
    models: Mapping[str, nn.Module],
    clips: Tensor | Mapping[str, Tensor],
    *,
    mode: Mode = "inference",
    num_rounds: int = 20,
    steps_per_round: int = 1,
    num_warmup_steps: int = 3,
    compile_mode: str | Mapping[str, str] = "off",
    autocast_dtype: torch.dtype | None = None,
) -> dict[str, ThroughputReport]:
    """Time models in turns: every round runs each of them once, so drift of the machine is shared.

    `clips` (B, C, T, H, W) are on the models' device, for all models or by name. Ratios are to the
    first model. Leaves every model in the train or eval mode it came in; a training step updates
    the weights. `compile_mode`, for all or by name, is one of `measure.steps.compiled`.

    Raises:
        ValueError: no model, or fewer than one round or step.
    """
    _check_counts(num_models=len(models), num_rounds=num_rounds, steps_per_round=steps_per_round)
    by_name = {name: clips if isinstance(clips, Tensor) else clips[name] for name in models}
    was_training = {name: model.training for name, model in models.items()}
    how = _by_name(compile_mode, models)
    build = partial(build_step, mode=mode, autocast_dtype=autocast_dtype)
    try:
        runs = {
            name: _prepare(
                build(model, by_name[name], compile_mode=how[name]), by_name[name], num_warmup_steps
            )
            for name, model in models.items()
        }
        seconds = time_in_turns(
            {name: run.step for name, run in runs.items()},
            device=next(iter(by_name.values())).device,
            num_rounds=num_rounds,
            steps_per_round=steps_per_round,
        )
    finally:
        for name, model in models.items():
            model.train(was_training[name])
    first = next(iter(models))
    return {
        name: _report(
            runs[name],
            seconds[name],
            ratios=_ratios(seconds[first], seconds[name], len(by_name[first]), len(by_name[name])),
            clips=by_name[name],
            steps_per_round=steps_per_round,
            labels=(mode, how[name], _dtype_name(models[name], autocast_dtype)),
        )
        for name in models
    }


def _by_name(value: str | Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else value[name] for name in names}


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} ({count}) must be at least 1")


def time_in_turns(
    steps: Mapping[str, Step], *, device: torch.device, num_rounds: int, steps_per_round: int = 1
) -> dict[str, list[float]]:
    """Seconds of one step of each, one value a round; the order of turns alternates.

    The device is synchronised around every turn, so queued work is never taken for finished work.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_index in range(num_rounds):
        names = list(steps) if round_index % 2 == 0 else list(steps)[::-1]
        for name in names:
            _synchronize(device)
            start = time.perf_counter()
            for _ in range(steps_per_round):
                steps[name]()
            _synchronize(device)
            seconds[name].append((time.perf_counter() - start) / steps_per_round)
    return seconds


class _Run(NamedTuple):
    step: Step
    warmup_seconds: float
    peak_memory_mib: float | None


def _prepare(built: tuple[Step, Callable[[], int]], clips: Tensor, num_warmup_steps: int) -> _Run:
    step, resident_bytes = built
    start = time.perf_counter()
    for _ in range(num_warmup_steps):
        step()
    _synchronize(clips.device)
    seconds = time.perf_counter() - start
    return _Run(step, seconds, _peak_memory_mib(step, clips.device, resident_bytes))


def _peak_memory_mib(
    step: Step, device: torch.device, resident_bytes: Callable[[], int]
) -> float | None:
    """Other models may share the device: what stays of this one, and the most that a step adds."""
    if device.type != "cuda":
        return None
    _synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    step()
    _synchronize(device)
    added = torch.cuda.max_memory_allocated(device) - before
    return (resident_bytes() + added) / _MIB


def _ratios(
    first: list[float], seconds: list[float], first_batch_size: int, batch_size: int
) -> list[float]:
    """Speed in clips relative to the first model, one value a round."""
    return [batch_size / first_batch_size * a / b for a, b in zip(first, seconds, strict=True)]


def _report(
    run: _Run,
    seconds: list[float],
    *,
    ratios: list[float],
    clips: Tensor,
    steps_per_round: int,
    labels: tuple[Mode, str, str],
) -> ThroughputReport:
    median = statistics.median(seconds)
    mode, compile_mode, dtype = labels
    return ThroughputReport(
        clips_per_second=len(clips) / median,
        median_step_seconds=median,
        p90_step_seconds=percentile(seconds, 0.9),
        fastest_step_seconds=min(seconds),
        slowest_step_seconds=max(seconds),
        spread=(percentile(seconds, 0.75) - percentile(seconds, 0.25)) / median,
        ratio=statistics.median(ratios),
        ratio_low=percentile(ratios, 0.1),
        ratio_high=percentile(ratios, 0.9),
        warmup_seconds=run.warmup_seconds,
        peak_memory_mib=run.peak_memory_mib,
        batch_size=len(clips),
        num_rounds=len(seconds),
        steps_per_round=steps_per_round,
        mode=mode,
        compile_mode=compile_mode,
        device=device_name(clips.device),
        num_threads=torch.get_num_threads(),
        dtype=dtype,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Value below which `share` of the sorted values lie, interpolated: of 1, 2, 4 half is 2."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def device_name(device: torch.device) -> str:
    """Name of the GPU, or the device type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _dtype_name(model: nn.Module, autocast_dtype: torch.dtype | None) -> str:
    own = str(next(model.parameters()).dtype).removeprefix("torch.")
    if autocast_dtype is None:
        return own
    return f"{own}, {str(autocast_dtype).removeprefix('torch.')} autocast"


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
