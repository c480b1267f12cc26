"""Try a training where its data and weights are not there: two steps on tiny videos."""

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console

from stvit_video.datasets.ava.tiny import LABEL_MAP, write_tiny_ava
from stvit_video.datasets.tiny import write_tiny_dataset
from stvit_video.files import check_output_folder
from stvit_video.report.terminal import say
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.training import RunConfig, TrainConfig
from stvit_video.training.fit import FitReport
from stvit_video.training.processes import is_first_process
from stvit_video.training.run import run_training
from stvit_video.training.strategy import is_on_gpu

NUM_EPOCHS = 2
"""Of one step each."""


def run_dry(run: RunConfig, output_dir: Path, *, console: Console, label: str) -> FitReport:
    """Train two steps as `run` says and validate twice; leave nothing behind.

    The videos are tiny and laid out as the data set of the run, the weights random; the schedule is
    shortened to two epochs of one step. Files go below the folder that holds `output_dir`, where
    the checkpoints of the run would.

    Raises:
        StvitVideoError: a setting cannot be used as it stands, or nothing can be written there.
    """
    check_output_folder("output_dir", output_dir)
    start = time.perf_counter()
    nearest = next(folder for folder in output_dir.absolute().parents if folder.is_dir())
    with tempfile.TemporaryDirectory(dir=nearest, prefix=".dry_run_") as folder:
        num_videos = {"train": _videos_per_step(run.train), "val": 2}
        dry = shorten(run, _write_tiny(Path(folder) / "data", run, num_videos))
        if run.distill.teacher is not None and is_first_process():
            say(console, "without the teacher, which knows other classes than the tiny videos")
        report = run_training(dry, Path(folder) / "run", console=console, label=label, advise=False)
    memory = ""
    if is_on_gpu(run.train):
        memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of a GPU at most"
    seconds = time.perf_counter() - start
    if is_first_process():
        say(console, f"dry run: {NUM_EPOCHS} steps and validations in {seconds:.0f} s{memory}")
    return report


def _write_tiny(root: Path, run: RunConfig, counts: dict[str, int]) -> dict[str, Path]:
    """Write tiny data laid out as those of the run; return the paths of `data` by setting."""
    if run.detector.name is None:
        return dict(write_tiny_dataset(root, _data_set(run), num_videos=counts))
    if run.detector.name == "actions":
        media = dict.fromkeys(("train_media", "val_media"), root / "trainval")
        return write_tiny_ava(root, num_frames=counts) | media
    from stvit_video.datasets.coco.tiny import write_tiny_coco

    annotations = write_tiny_coco(root, num_images=counts)
    media = {f"{part}_media": root / f"{part}2017" for part in counts}
    return annotations | media


def shorten(run: RunConfig, data: dict[str, Path]) -> RunConfig:
    """Return the run over two epochs of other data, from random weights, without a teacher."""
    share, optimizer = NUM_EPOCHS / run.train.epochs, run.optimizer
    warmup, milestones = optimizer.warmup_epochs, optimizer.milestones
    return dataclasses.replace(
        run,
        model=dataclasses.replace(
            run.model, pretrained=None, pretrained_probe=None, pretrained_entry=None
        ),
        data=dataclasses.replace(run.data, **cast(Any, data)),
        detector=_tiny_detector(run.detector, data["train"]),
        optimizer=dataclasses.replace(
            optimizer,
            warmup_epochs=None if warmup is None else warmup * share,
            milestones=None if milestones is None else tuple(m * share for m in milestones),
        ),
        train=dataclasses.replace(
            run.train, epochs=NUM_EPOCHS, resume=False, keep_checkpoints=1, loggers=("csv",)
        ),
        distill=dataclasses.replace(run.distill, teacher=None),
    )


def _tiny_detector(detector: DetectorConfig, annotations: Path) -> DetectorConfig:
    """Return the settings of a detector of actions on the tiny films, of any other as they are."""
    if detector.name != "actions":
        return detector
    labels = annotations.with_name(LABEL_MAP)
    return dataclasses.replace(detector, labels=labels, excluded=None, first_second=900.0)


def _data_set(run: RunConfig) -> str:
    """Return the folder that the data set lies in: `kinetics400` of data/kinetics400/train.csv."""
    return "" if run.data.train is None else run.data.train.parent.name


def _videos_per_step(settings: TrainConfig) -> int:
    """Return how many videos all processes read for a step."""
    num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if is_on_gpu(settings):
        num_gpus = torch.cuda.device_count()
        num_processes = num_gpus if settings.devices == "auto" else int(settings.devices)
    num_batches = settings.accumulate_steps * num_processes * settings.num_nodes
    return settings.batch_size // settings.clips_per_video * num_batches
