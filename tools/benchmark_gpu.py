"""Measure speed on one GPU, section by section, and write raw JSON. Run by hand, with results by
`tools/write_gpu_results.py`:

    python tools/benchmark_gpu.py --output raw joint training
    python tools/benchmark_gpu.py --output raw --quick          # everything, few rounds

Needs torch and this package's models and measure only. Models of a section run in turns; a case
that fails is recorded with its error, and the others go on. Most of the time goes to torch.compile,
so all cases are first compiled by several processes at once, into torch's cache on disk; what that
took, one process among the others, is reported. Every section writes its file when it is done.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch._inductor.runtime.cache_dir_utils
from gpu_cases import CHECKED, COMPARISONS, PROFILED, Case, Comparison, compiled_cases
from torch import Tensor, nn

from stvit_video.errors import ConfigError
from stvit_video.measure.ceiling import measure_matmul_ceiling
from stvit_video.measure.compare.words import build_word, example_clips, find_model
from stvit_video.measure.throughput import compare_throughput
from stvit_video.models.network.fuse import fuse
from stvit_video.models.network.reduction import RunLengthTransformer
from stvit_video.settings.model import Preprocessing


class Settings(NamedTuple):
    """How to measure."""

    num_rounds: int
    device: torch.device
    dtype: torch.dtype
    compile_seconds: dict[str, float]
    """By case, of those that were compiled ahead."""


def main() -> None:
    """Run the sections that are asked for, each into its own file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = [*COMPARISONS, "agreement", "profile"]
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(sections)}")
    parser.add_argument("--output", type=Path, required=True, help="folder of the JSON files")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--compilers", type=int, default=6, help="processes that compile ahead")
    parser.add_argument("--cpu", action="store_true", help="try the script without a GPU")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(sections)
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}; known: {', '.join(sections)}")
    settings = Settings(
        num_rounds=8 if arguments.quick else 15,
        device=torch.device("cpu" if arguments.cpu else "cuda"),
        dtype=torch.float32 if arguments.cpu else torch.bfloat16,
        compile_seconds={},
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    sections = arguments.sections or sections
    if arguments.compilers:
        compile_ahead(sections, settings, arguments.compilers)
    write_sections(arguments.output, settings, sections)


def compile_ahead(sections: Sequence[str], settings: Settings, num_processes: int) -> None:
    """Fill torch's cache of compiled code, and note how long each case took."""
    start = time.perf_counter()
    waiting = compiled_cases(sections)
    with multiprocessing.get_context("spawn").Pool(num_processes) as pool:
        tasks = [(comparison, case, settings) for comparison, case in waiting]
        for key, seconds in pool.imap_unordered(compile_case, tasks, chunksize=1):
            if seconds is not None:
                settings.compile_seconds[key] = seconds
    # The kernels' best settings were found while processes shared the GPU: they are found again.
    for path in Path(torch._inductor.runtime.cache_dir_utils.cache_dir()).rglob("*.best_config"):
        path.unlink()
    print(f"compiled {len(waiting)} cases in {time.perf_counter() - start:.0f} s", flush=True)


def compile_case(task: tuple[Comparison, Case, Settings]) -> tuple[str, float | None]:
    """Run a first step in a process of its own; failures show later, when it is measured."""
    comparison, case, settings = task
    try:
        model, batch = load(case, settings, training=comparison.mode == "training")
        modes = {"case": case.compile_mode}
        report = measure(comparison, {"case": model}, {"case": batch}, modes, 1, settings)
        return comparison.key(case), report["case"].warmup_seconds
    except (RuntimeError, ConfigError):
        return comparison.key(case), None
    finally:
        release()


def write_sections(folder: Path, settings: Settings, sections: Sequence[str]) -> None:
    """Measure the ceiling, then each section into its own file."""
    ceiling = dataclasses.asdict(measure_matmul_ceiling(settings.device, settings.dtype))
    print(f"matmul ceiling {ceiling['flops_per_second'] / 1e12:.0f} TFLOP/s", flush=True)
    for section in sections:
        start = time.perf_counter()
        results = run_section(section, settings)
        record = {
            "section": section,
            "environment": environment(settings.device),
            "matmul_ceiling": ceiling,
            "seconds": time.perf_counter() - start,
            "results": results,
        }
        path = folder / f"{section}.json"
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"{section}: {record['seconds']:.0f} s -> {path}", flush=True)


def run_section(section: str, settings: Settings) -> list[dict[str, Any]]:
    """Measure one section; every result is a plain record."""
    if section == "profile":
        return [profile(case, settings) for case in PROFILED]
    if section == "agreement":
        return [agreement(case, settings) for case in CHECKED]
    return [record for one in COMPARISONS[section] for record in compare(one, settings)]


def compare(comparison: Comparison, settings: Settings) -> list[dict[str, Any]]:
    """Warm every case up on its own, note those that fail, time the rest in turns."""
    ready: dict[str, tuple[Case, nn.Module, Tensor, float]] = {}
    records: list[dict[str, Any]] = []
    shared: dict[tuple[Any, ...], Tensor] = {}
    for case in comparison.cases:
        label = case.label
        try:
            model, batch = load(case, settings, training=comparison.mode == "training")
            if not isinstance(model, RunLengthTransformer):
                batch = shared.setdefault(tuple(batch.shape), batch)
            modes = {label: case.compile_mode}
            first = measure(comparison, {label: model}, {label: batch}, modes, 1, settings)
            seconds = first[label].warmup_seconds
            seconds = settings.compile_seconds.get(comparison.key(case), seconds)
            ready[label] = (case, model, batch, seconds)
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
            mode=comparison.mode,
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
        model = build_word(find_model(case.model))
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


def agreement(case: Case, settings: Settings) -> dict[str, Any]:
    """Compare logits with those of float32: of plain layers, and of what is timed."""
    torch.manual_seed(0)
    with torch.device(settings.device):
        model = build_word(find_model(case.model)).eval()
    clips = example_clips(model, case.batch_size).to(settings.device)
    with torch.inference_mode():
        wanted = model(clips).double()
        model, clips = model.to(settings.dtype), clips.to(settings.dtype)
        plain = model(clips).double()
        timed = torch.compile(fuse(model), dynamic=False)(clips).double()
    release()
    return {
        "model": case.model,
        "batch_size": case.batch_size,
        "plain": float((plain - wanted).norm() / wanted.norm()),
        "fused_and_compiled": float((timed - wanted).norm() / wanted.norm()),
    }


def profile(case: Case, settings: Settings) -> dict[str, Any]:
    """List where the time of one compiled step goes, by kernel."""
    built, clips = load(case, settings, training=False)
    run: Callable[[Tensor], Tensor] = torch.compile(built.eval(), dynamic=False)
    kind = torch.profiler.ProfilerActivity
    activity = kind.CUDA if settings.device.type == "cuda" else kind.CPU
    with torch.inference_mode():
        for _ in range(3):
            run(clips)
        with torch.profiler.profile(activities=[activity]) as recorded:
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
    total = sum(kernel["milliseconds_per_step"] for kernel in kernels)
    return {
        "model": case.model,
        "batch_size": case.batch_size,
        "milliseconds_per_step": total,
        "kernels": kernels[:25],
    }


def release() -> None:
    """Forget compiled code and free the device's cache between comparisons."""
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def environment(device: torch.device) -> dict[str, Any]:
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
        "versions": versions,
    }


if __name__ == "__main__":
    main()
