"""Measure speed on one GPU, section by section, and write raw JSON. Run by hand, with results by
`tools/write_gpu_results.py`:

    python tools/benchmark_gpu.py --output raw joint training
    python tools/benchmark_gpu.py --output raw --quick          # everything, few rounds

Needs torch and this package's models and measure only. Models of a section run in turns; a case
that fails is recorded with its error, and the others go on. Most of the time goes to torch.compile,
some half a minute for each compiled case; sections stand in the order of their weight, and each one
writes its file when it is done.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_cases import COMPARISONS, PROFILED, SWEPT, SWEPT_SIZES, Case, Comparison
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from stvit_video.config import Preprocessing
from stvit_video.errors import ConfigError
from stvit_video.measure.ceiling import measure_matmul_ceiling
from stvit_video.measure.sweep import sweep_batches
from stvit_video.measure.throughput import compare_throughput
from stvit_video.models.reduction import RunLengthTransformer
from stvit_video.models.spec import build_spec, example_clips, parse_spec

CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
"""Order of the backends of fused attention under `--attention cudnn`, for all models alike."""


class Settings(NamedTuple):
    """How long to measure."""

    num_rounds: int
    device: torch.device
    dtype: torch.dtype


def main() -> None:
    """Run the sections that are asked for, each into its own file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = [*COMPARISONS, "sweep", "profile"]
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(sections)}")
    parser.add_argument("--output", type=Path, required=True, help="folder of the JSON files")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument(
        "--attention",
        choices=["torch", "cudnn"],
        default="torch",
        help="backend that is tried first",
    )
    parser.add_argument("--cpu", action="store_true", help="try the script without a GPU")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(sections)
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}; known: {', '.join(sections)}")
    settings = Settings(
        num_rounds=8 if arguments.quick else 15,
        device=torch.device("cpu" if arguments.cpu else "cuda"),
        dtype=torch.float32 if arguments.cpu else torch.bfloat16,
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    is_cudnn = arguments.attention == "cudnn"
    with sdpa_kernel(CUDNN_FIRST, set_priority=True) if is_cudnn else nullcontext():
        write_sections(arguments, settings, arguments.sections or sections)


def write_sections(
    arguments: argparse.Namespace, settings: Settings, sections: Sequence[str]
) -> None:
    """Measure the ceiling, then each section into its own file."""
    ceiling = dataclasses.asdict(measure_matmul_ceiling(settings.device, settings.dtype))
    print(f"matmul ceiling {ceiling['flops_per_second'] / 1e12:.0f} TFLOP/s", flush=True)
    for section in sections:
        start = time.perf_counter()
        results = run_section(section, settings)
        record = {
            "section": section,
            "environment": environment(settings.device, arguments.attention),
            "matmul_ceiling": ceiling,
            "seconds": time.perf_counter() - start,
            "results": results,
        }
        path = arguments.output / f"{section}.json"
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"{section}: {record['seconds']:.0f} s -> {path}", flush=True)


def run_section(section: str, settings: Settings) -> list[dict[str, Any]]:
    """Measure one section; every result is a plain record."""
    if section == "sweep":
        return [point for model in SWEPT for point in sweep(model, settings)]
    if section == "profile":
        return [profile(model, settings) for model in PROFILED]
    return [record for one in COMPARISONS[section] for record in compare(one, settings)]


def compare(comparison: Comparison, settings: Settings) -> list[dict[str, Any]]:
    """Warm every case up on its own, note those that fail, time the rest in turns."""
    ready: dict[str, tuple[Case, nn.Module, Tensor, float]] = {}
    records: list[dict[str, Any]] = []
    shared: dict[tuple[Any, ...], Tensor] = {}
    for case in comparison.cases:
        label = f"{case.model} ({case.compile_mode}, batch {case.batch_size})"
        try:
            model, batch = load(case, settings, training=comparison.mode == "training")
            if not isinstance(model, RunLengthTransformer):
                batch = shared.setdefault(tuple(batch.shape), batch)
            modes = {label: case.compile_mode}
            first = measure(comparison, {label: model}, {label: batch}, modes, 1, settings)
            ready[label] = (case, model, batch, first[label].warmup_seconds)
        except (RuntimeError, ConfigError) as error:  # no memory, no compiler, no library
            text = " ".join(str(error).split())[:500]
            records.append({**case._asdict(), "mode": comparison.mode, "error": text})
            print(f"  {label} failed: {text[:120]}", flush=True)
    if ready:
        reports = measure(
            comparison,
            {label: model for label, (_, model, _, _) in ready.items()},
            {label: batch for label, (_, _, batch, _) in ready.items()},
            {label: case.compile_mode for label, (case, *_) in ready.items()},
            settings.num_rounds,
            settings,
        )
        for label, report in reports.items():
            case, model, batch, compile_seconds = ready[label]
            records.append(
                {
                    **dataclasses.asdict(report),
                    "model": case.model,
                    "compile_seconds": compile_seconds,
                    **describe(model, batch),
                }
            )
            speed = f"{report.clips_per_second:.1f} clips/s, x{report.ratio:.2f}"
            print(f"  {label}: {speed}, {report.peak_memory_mib or 0:.0f} MiB", flush=True)
    release()
    return records


def measure(
    comparison: Comparison,
    models: dict[str, nn.Module],
    clips: dict[str, Tensor],
    modes: dict[str, str],
    num_rounds: int,
    settings: Settings,
) -> dict[str, Any]:
    """Call the package's side-by-side measurement with this script's settings."""
    training = comparison.mode == "training"
    reports: dict[str, Any] = dict(
        compare_throughput(
            models,
            clips,
            mode="training" if training else "inference",
            num_rounds=num_rounds,
            steps_per_round=1 if min(map(len, clips.values())) == 1 else 3,
            compile_mode=modes,
            autocast_dtype=torch.bfloat16 if training else None,
        )
    )
    return reports


def load(case: Case, settings: Settings, *, training: bool) -> tuple[nn.Module, Tensor]:
    """Build a case on the device: bf16 weights, or float32 ones for training under autocast."""
    dtype = torch.float32 if training else settings.dtype
    with torch.device(settings.device):
        model = build_spec(parse_spec(case.model))
    model.to(settings.device, dtype)
    if isinstance(model, RunLengthTransformer):  # depends on the pixels
        return model, example_clips(model, case.batch_size).to(settings.device, dtype)
    wanted = model.preprocessing
    assert isinstance(wanted, Preprocessing)
    shape = (case.batch_size, 3, wanted.num_frames, wanted.image_size, wanted.image_size)
    return model, torch.randn(shape, device=settings.device, dtype=dtype)


def describe(model: nn.Module, clips: Tensor) -> dict[str, Any]:
    """Add what a reader must know beside the report."""
    record: dict[str, Any] = {"clip": "x".join(map(str, clips.shape[2:]))}
    if isinstance(model, RunLengthTransformer):
        record["mean_tokens"] = float(model.count_tokens(clips).float().mean())
    return record


def sweep(model: str, settings: Settings) -> list[dict[str, Any]]:
    """Measure rising batch sizes of one model until the memory ends."""

    def one(batch_size: int) -> list[dict[str, Any]]:
        records = compare(Comparison([Case(model, "blocks", batch_size)]), settings)
        if "error" in records[0]:
            raise torch.OutOfMemoryError(records[0]["error"])
        return records

    sizes = SWEPT_SIZES if settings.device.type == "cuda" else (1, 2)
    points = sweep_batches(one, sizes)
    return [record for point in points for record in point.result or []]


def profile(model: str, settings: Settings) -> dict[str, Any]:
    """List where the time of one compiled step goes, by kernel."""
    batch_size = 64 if settings.device.type == "cuda" else 1
    built, clips = load(Case(model, batch_size=batch_size), settings, training=False)
    run: Callable[[Tensor], Tensor] = torch.compile(built.eval(), dynamic=False)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if settings.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.inference_mode():
        for _ in range(3):
            run(clips)
        with torch.profiler.profile(activities=activities) as recorded:
            for _ in range(3):
                run(clips)
    kernels = [
        {
            "kernel": event.key[:120],
            "calls_per_step": event.count / 3,
            "milliseconds_per_step": event.self_device_time_total / 3e3,
        }
        for event in recorded.key_averages()
        if event.self_device_time_total > 0
    ]
    kernels.sort(key=lambda kernel: -kernel["milliseconds_per_step"])
    release()
    return {"model": model, "batch_size": batch_size, "kernels": kernels[:25]}


def release() -> None:
    """Forget compiled code and free the device's cache between comparisons."""
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def environment(device: torch.device, attention: str) -> dict[str, Any]:
    """Say where and with what the numbers were measured."""
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    for package in ("torchvision", "transformers", "timm", "triton"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "cuda": torch.version.cuda,
        "attention": attention,
        "versions": versions,
    }


if __name__ == "__main__":
    main()
