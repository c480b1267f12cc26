"""Time from the command `stvit-video train` to its first step, in a fresh process each time.

    python tools/measure_start.py MANIFEST      # writes docs/results/start.md

An epoch of one step is trained; the clock stops at its line of progress. Compiling is off.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from result_page import RESULTS, date_and_machine, versions, write_page

from stvit_video.report.tables import Column, Table, make_table


def main() -> None:
    """Measure, and write docs/results/start.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--models", nargs="+", default=["videomae_base_patch16_224", "demo_tiny"])
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 2) - 1)
    parser.add_argument("--device", default="1" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=3, help="after one that fills the caches")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    rows = []
    for model in options.models:
        seconds = [first_step(model, options) for _ in range(options.rounds + 1)]
        rows.append([model, seconds[0], statistics.median(seconds[1:]), max(seconds[1:])])
        print(*rows[-1], flush=True)
    page = options.output / "start.md"
    write_page(page, "From the command to the first step", render(rows, options), tool=__file__)


def first_step(model: str, options: argparse.Namespace) -> float:
    """Seconds until the first step is told."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "videos.csv"
        write_listing(listing, options)
        command = [
            *(sys.executable, "-m", "stvit_video", "train"),
            *("--model.name", model, "--data.train", str(listing)),
            *("--data.num_workers", str(options.workers)),
            *("--train.batch_size", str(options.batch_size)),
            *("--train.devices", options.device, "--train.epochs", "1"),
            *("--train.compile", "false"),
            *("--output_dir", f"{folder}/run"),
        ]
        start = time.perf_counter()
        told: dict[str, float] = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=2, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                told[line] = time.perf_counter() - start
    steps = [seconds for line, seconds in told.items() if "epoch 1/" in line]
    if not steps:
        raise SystemExit(f"{' '.join(command)} ended without a step:\n{''.join(told)}")
    return steps[0]


def write_listing(path: Path, options: argparse.Namespace) -> None:
    """List as many videos as a step has clips, of two classes, by paths from anywhere."""
    folder = options.manifest.parent.resolve()
    with options.manifest.open(newline="") as file:
        known = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, known[0])
        writer.writeheader()
        for number in range(options.batch_size):
            row = known[number % len(known)]
            writer.writerow(row | {"path": folder / row["path"], "label": number % 2})


def render(rows: list[list[Any]], options: argparse.Namespace) -> Table:
    """Make the table."""
    columns: list[Column | str] = [
        "model",
        Column(title="first time, s", format=".1f"),
        Column(title="later, s", format=".1f"),
        Column(title="slowest, s", format=".1f"),
    ]
    note = (
        f"{date_and_machine()}, {options.workers} workers, one step of {options.batch_size} clips,"
        f" medians of {options.rounds} starts after the first, files in the file cache."
        f" {versions('torch', 'lightning', 'av')}."
    )
    return make_table("From the command to the first step", columns, rows, note=note)


if __name__ == "__main__":
    main()
