"""Time training from files beside training from one batch in memory, by the same loop.

    python tools/benchmark_train_feed.py MANIFEST      # writes docs/results/feed_train.md
    python tools/benchmark_train_feed.py MANIFEST --devices 2 --workers 12 15

Lightning, our classifier, our loader, mixed bf16, compiled, no checkpoint and no validation:
the loop of `stvit-video train` in epochs of a few seconds, of which the first does not count. And
the loader alone, by the same workers, onto the device: what this host's cores can feed at most.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Checkpoint
from result_page import RESULTS, date_and_machine, spread_percent, versions, write_page
from same_batch import SameBatch

from stvit_video.datasets.from_settings import build_training_loader
from stvit_video.datasets.manifest import Manifest, read_manifest
from stvit_video.datasets.records import Records
from stvit_video.measure.compare.words import build_word, find_model
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.training.callbacks import EpochLog
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.fit import build_trainer
from stvit_video.video.pixels.batch import BatchTransform


def main() -> None:
    """Measure, and write docs/results/feed_train.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--models", nargs="+", default=["videomae_base_patch16_224:4x4x4@4"])
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=400, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=4, help="of which the first does not count")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[0], help="of a device; 0: all cores but one"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    every = (os.cpu_count() or 2) // options.devices - 1
    torch.set_float32_matmul_precision("high")
    rows = []
    for word in options.models:
        memory = [speed for speed, _ in train(word, None, options)]
        for num_workers in options.workers:
            files = train(word, num_workers or every, options)
            alone = load(word, num_workers or every, options)
            rows.append([word, num_workers or every, alone, *compare(memory, files)])
            print(*rows[-1], flush=True)
    if int(os.environ.get("LOCAL_RANK", "0")) == 0:
        name = "feed_train.md" if options.devices == 1 else f"feed_train_{options.devices}.md"
        write_page(
            options.output / name,
            "Training from files",
            render(rows, options),
            tool=__file__,
        )


def compare(memory: list[float], files: list[tuple[float, float]]) -> list[float]:
    """Medians, share, share of waiting, spread in %."""
    speeds = [speed for speed, _ in files]
    median, of_files = statistics.median(memory), statistics.median(speeds)
    spread = max(spread_percent(memory), spread_percent(speeds))
    waiting = statistics.median(share for _, share in files)
    return [median, of_files, of_files / median, waiting, spread]


def train(
    word: str, num_workers: int | None, options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Train for some epochs, from memory where there are no workers.

    Returns clips a second of all devices, and the share of waiting, of each epoch but the first.
    """
    model = build_word(find_model(word))
    run, videos, loader = prepare(word, model, num_workers or 0, options)
    if num_workers is None:
        batch = next(iter(build_training_loader(videos, model.preprocessing, run)))
        loader = SameBatch(batch, options.steps)
    names = [str(number) for number in range(model.num_classes)]
    classifier = VideoClassifier(
        model,
        num_classes=model.num_classes,
        num_videos=len(videos.records),
        optimizer=run.optimizer,
        train=run.train,
        augment=BatchTransform(model.preprocessing, AugmentationConfig(), class_names=names),
    )
    log = EpochLog(lambda _: None)
    build_trainer(
        run.train,
        run_dir=Path(),
        callbacks=[log, Checkpoint()],
        clip_grad_norm=None,
    ).fit(classifier, loader)
    num_clips = len(videos.records)
    return [(num_clips / e.train_seconds, e.data_wait_share) for e in log.epochs[1:]]


def load(word: str, num_workers: int, options: argparse.Namespace) -> float:
    """Return clips a second of the loaders of all devices, each without a training behind it."""
    model = build_word(find_model(word))
    _, videos, loader = prepare(word, model, num_workers * options.devices, options)
    speeds = []
    for _ in range(options.epochs):
        start = time.perf_counter()
        for _ in loader:
            pass
        torch.cuda.synchronize()
        speeds.append(len(videos.records) / (time.perf_counter() - start))
    return statistics.median(speeds[1:])


def prepare(
    word: str, model: VideoModel, num_workers: int, options: argparse.Namespace
) -> tuple[RunConfig, Manifest, Any]:
    """Return the settings of a run, its videos and their loader."""
    run = RunConfig(
        model=ModelConfig(name=word.partition(":")[0]),
        data=DataConfig(num_workers=num_workers),
        optimizer=OptimizerConfig(lr=1e-5),
        train=TrainConfig(
            batch_size=options.batch_size,
            epochs=options.epochs,
            devices=options.devices,
            precision="bf16-mixed",
        ),
    )
    known = read_manifest(options.manifest)
    assert isinstance(known.records, Records)
    num_clips = options.steps * options.batch_size * options.devices
    records = known.records * (num_clips // len(known.records) + 1)
    videos = Manifest(records[:num_clips], known.class_names)
    loader = build_training_loader(videos, model.preprocessing, run, device=torch.device("cuda"))
    return run, videos, loader


def render(rows: list[list[Any]], options: argparse.Namespace) -> Table:
    """Make the table."""
    columns: list[Column | str] = [
        "model",
        "workers a device",
        Column(title="loader alone, clips/s", format=".0f"),
        Column(title="clips/s from memory", format=".0f"),
        Column(title="clips/s from files", format=".0f"),
        Column(title="share", format=".2f"),
        Column(title="waiting", format=".2f"),
        Column(title="spread %", format=".1f"),
    ]
    note = (
        f"{date_and_machine()}, GPUs in use: {options.devices}, batches of {options.batch_size} a"
        f" device, medians of {options.epochs - 1} epochs of {options.steps} steps,"
        f" files in the file cache. {versions('torch', 'lightning', 'av')}."
    )
    return make_table("Training from files and from memory", columns, rows, note=note)


if __name__ == "__main__":
    main()
