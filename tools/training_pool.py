"""Trainings of several rows and seeds that share one GPU, call after call."""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from result_lines import read_results
from torch import Tensor, nn
from torch.optim import Optimizer

from stvit_video.settings.training import OptimizerConfig
from stvit_video.training.optimizer import Schedule, parameter_groups

RunRow = Callable[[str, int, argparse.Namespace, float], None]
"""Trains a row with a seed until it is done, or until a time; keeps the result, or the rest."""


def pool_parser(about: str | None, rows: Iterable[str], *, steps: int) -> argparse.ArgumentParser:
    """Make the parser of a tool whose docstring is `about`."""
    rows = list(rows)
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of Fashion-MNIST")
    parser.add_argument("--results", type=Path, required=True, help="file, one JSON a line")
    parser.add_argument("--work", type=Path, required=True, help="folder of unfinished runs")
    parser.add_argument("--rows", nargs="+", choices=rows, default=rows)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seconds", type=float, default=540, help="nothing goes on after them")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def run_missing(run_row: RunRow, options: argparse.Namespace) -> None:
    """Run all rows and seeds that the file of results has not, seed by seed.

    Raises:
        SystemExit: some failed; the others are kept.
    """
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    done = {key(line) for line in read_results(options.results)}
    runs = [
        (row, seed)
        for seed in options.seeds
        for row in options.rows
        if (row, options.steps, seed) not in done
    ]
    deadline = time.time() + options.seconds
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        futures = {run: pool.submit(run_row, *run, options, deadline) for run in runs}
    failed = {run: future.exception() for run, future in futures.items() if future.exception()}
    if failed:
        raise SystemExit("; ".join(f"{run}: {error}" for run, error in failed.items()))


def key(line: dict[str, Any]) -> tuple[object, ...] | None:
    """Say which training a line is of; None for one of speed."""
    return None if "speed_of" in line else (line["row"], line["steps"], line["seed"])


def build_optimizer(network: nn.Module, *, lr: float, steps: int) -> tuple[Optimizer, Schedule]:
    """Make AdamW over the groups of a network, and half a cosine behind a warm-up of 5 %."""
    settings = OptimizerConfig(lr=lr, weight_decay=0.05, warmup_epochs=0.05)
    groups = parameter_groups(network, lr=lr, weight_decay=settings.weight_decay)
    is_cuda = next(network.parameters()).is_cuda
    optimizer = torch.optim.AdamW(groups, lr=lr, fused=is_cuda or None)
    schedule = Schedule(optimizer, settings)
    schedule.lay_out(steps_per_epoch=steps, num_epochs=1, videos_per_step=1)
    return optimizer, schedule


def draw_numbers(shape: tuple[int, int], seed: int, device: torch.device) -> Tensor:
    """Draw random numbers in 0..1, the same on every machine."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(device, non_blocking=True)
