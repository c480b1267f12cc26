"""Time classifying a folder of files beside what it is made of: the loader and the model alone.

    python tools/benchmark_evaluation.py MANIFEST      # writes docs/results/feed_evaluation.md

The loop of `stvit-video evaluate` over many videos, and over 64, as validation has them, with the
workers of the pass before. Clips a second.
"""

import argparse
import datetime
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from benchmark_train_feed import RESULTS, repeat_videos
from result_page import write_page

from stvit_video.datasets.from_settings import build_evaluation_loader
from stvit_video.datasets.manifest import read_manifest
from stvit_video.datasets.records import Records
from stvit_video.evaluation.evaluate import score_videos
from stvit_video.measure.compare.words import build_word, find_model
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig

BATCH_SIZE = 16


def main() -> None:
    """Measure, and write docs/results/feed_evaluation.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--models", nargs="+", default=["videomae_base_patch16_224:4x4x4@4"])
    parser.add_argument("--videos", type=int, default=4800)
    parser.add_argument("--rounds", type=int, default=3, help="after one that does not count")
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 2) - 1)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    known = read_manifest(options.manifest).records
    assert isinstance(known, Records)
    rows = []
    for word in options.models:
        model = build_word(find_model(word))
        for num_videos in (64, options.videos):
            evaluation = Evaluation(model, repeat_videos(known, num_videos), options.workers)
            rows.append(time_parts(word, evaluation, options.rounds))
            print(*rows[-1], flush=True)
    page = options.output / "feed_evaluation.md"
    write_page(page, "Classifying files", render(rows, options), tool=__file__)


@dataclass
class Evaluation:
    """A model, the videos it classifies, and the parts of doing so; one view of each video."""

    model: VideoModel
    records: Records
    num_workers: int

    def __post_init__(self) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        data = DataConfig(num_workers=self.num_workers)
        self.loader = build_evaluation_loader(
            self.records,
            self.model.preprocessing,
            data=data,
            views=ViewConfig(),
            batch_size=BATCH_SIZE,
            device=self.device,
        )

    def load(self) -> None:
        """Read all clips."""
        for _ in self.loader:
            pass

    def classify(self, batches: Any) -> None:
        """Score all clips of `batches`."""
        score_videos(
            self.model,
            batches,
            preprocessing=self.model.preprocessing,
            views=ViewConfig(),
            device=self.device,
            batch_size=BATCH_SIZE,
        )


def time_parts(word: str, evaluation: Evaluation, rounds: int) -> list[Any]:
    """A row of the table: `evaluate` beside loader and model alone."""
    num_videos = len(evaluation.records)
    batches = {len(batch.label): batch for batch in evaluation.loader}
    whole = batches[max(batches)]
    size = len(whole.label)
    memory = [  # of the loader's size, all of the same clips
        whole._replace(video_index=torch.arange(first, first + size))
        for first in range(0, num_videos, size)
    ]
    parts = {
        "loader": evaluation.load,
        "model": partial(evaluation.classify, memory),
        "evaluate": partial(evaluation.classify, evaluation.loader),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(rounds + 1):
        for name, run in parts.items():
            passed = _seconds(run)
            seconds[name] += [passed] if number else []
    waiting = evaluation.loader.waited_seconds / seconds["evaluate"][-1]  # it was the last to run
    rates = {name: num_videos / statistics.median(times) for name, times in seconds.items()}
    loader, model, together = (rates[name] for name in parts)
    took = seconds["evaluate"]
    median = statistics.median(took)
    share = together / min(loader, model)
    spread = 100 * (max(took) - min(took)) / (2 * median)
    return [word, num_videos, loader, model, together, share, waiting, median, spread]


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def render(rows: list[list[Any]], options: argparse.Namespace) -> Table:
    """Make the table."""
    columns: list[Column | str] = [
        *("model", "videos"),
        Column(title="loader alone", format=".0f"),
        Column(title="model alone", format=".0f"),
        Column(title="evaluate", format=".0f"),
        Column(title="share of the slower", format=".2f"),
        Column(title="waiting", format=".2f"),
        Column(title="seconds", format=".2f"),
        Column(title="spread %", format=".1f"),
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "av"))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    note = (
        f"{datetime.datetime.now(tz=datetime.UTC).date()}, {device}, {os.cpu_count()} cores,"
        f" {options.workers} workers, batches of {BATCH_SIZE}, one view a video, float32 with TF32,"
        f" medians of {options.rounds} passes in turns, files in the file cache. {versions}."
    )
    return make_table("Classifying files", columns, rows, note=note)


if __name__ == "__main__":
    main()
