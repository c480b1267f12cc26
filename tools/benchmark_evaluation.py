"""Time classifying a folder of files beside what it is made of: the loader and the model alone.

    python tools/benchmark_evaluation.py MANIFEST      # writes docs/results/feed_evaluation.md

The loop of `stvit-video evaluate` over many videos, and over 64, as validation has them, with the
workers of the pass before; and `Predictor.predict_many`, which starts its own. Clips a second.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from result_page import RESULTS, date_and_machine, spread_percent, versions, write_page

from stvit_video.datasets.from_settings import build_evaluation_loader
from stvit_video.datasets.manifest import read_manifest
from stvit_video.datasets.records import Records
from stvit_video.evaluation.evaluate import score_videos
from stvit_video.evaluation.predictor import Predictor
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
            times = -(-num_videos // len(known))
            evaluation = Evaluation(model, (known * times)[:num_videos], options.workers)
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
        self.predictor = Predictor(self.model, data=data, device=str(self.device))
        self.paths = [record.path for record in self.records]
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

    def predict(self) -> None:
        """Classify all files, with new workers."""
        for _ in self.predictor.predict_many(self.paths, batch_size=BATCH_SIZE):
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
    """A row of the table: `evaluate` and `predict` beside loader and model alone."""
    num_videos = len(evaluation.records)
    batches = {len(batch.label): batch for batch in evaluation.loader}
    whole = batches[max(batches)]
    size = len(whole.label)
    memory = [  # of the loader's size, all of the same clips
        whole._replace(
            clip=whole.clip[: num_videos - first],
            label=whole.label[: num_videos - first],
            video_index=torch.arange(first, min(first + size, num_videos)),
        )
        for first in range(0, num_videos, size)
    ]
    parts = {
        "loader": evaluation.load,
        "model": partial(evaluation.classify, memory),
        "predict": evaluation.predict,
        "evaluate": partial(evaluation.classify, evaluation.loader),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(rounds + 1):
        for name, run in parts.items():
            passed = _seconds(run)
            seconds[name] += [passed] if number else []
    waiting = evaluation.loader.waited_seconds / seconds["evaluate"][-1]  # it was the last to run
    rates = {name: num_videos / statistics.median(times) for name, times in seconds.items()}
    loader, model, predict, together = (rates[name] for name in parts)
    slower = min(loader, model)
    spread = spread_percent(seconds["evaluate"])
    evaluate = [together, together / slower, waiting, num_videos / together, spread]
    return [word, num_videos, loader, model, *evaluate, predict, predict / slower]


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
        Column(title="predict", format=".0f"),
        Column(title="its share", format=".2f"),
    ]
    note = (
        f"{date_and_machine()}, {options.workers} workers, batches of {BATCH_SIZE}, one view a"
        f" video, float32 with TF32, medians of {options.rounds} passes in turns,"
        f" files in the file cache. {versions('torch', 'av')}."
    )
    return make_table("Classifying files", columns, rows, note=note)


if __name__ == "__main__":
    main()
