"""Time training steps from memory: eager and compiled, on one GPU and on several, shared by FSDP2.

    python tools/benchmark_training.py --devices 1        # one host, one call after the other
    python tools/benchmark_training.py --devices 2        # adds to docs/results/training_speed.md

The trainer and the classifier of `stvit-video train` in mixed bf16, beside the bare compiled step
of `stvit-video benchmark`. Rows of other numbers of devices stay in the page's JSON.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from result_page import RESULTS, date_and_machine, spread_percent, versions, write_page
from same_batch import SameBatch

from stvit_video.datasets.batches import Batch
from stvit_video.files import write_file
from stvit_video.measure.compare.words import build_word, find_model
from stvit_video.measure.steps import build_step
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.training import OptimizerConfig, TrainConfig
from stvit_video.training.callbacks import EpochLog
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.fit import build_trainer
from stvit_video.video.pixels.batch import BatchTransform


class Case(NamedTuple):
    """One row: a model, its batch on each device, and how it trains."""

    model: str
    batch_size: int
    how: dict[str, Any]
    """Changes of `TrainConfig`; empty for the bare step."""
    devices: tuple[int, ...] = (1, 2)


BARE = "bare compiled step"
_SEMANTIC, _LARGE = "videomae_base_patch16_224:4x4x4@4", "videomae_large_patch16_224"
CASES = (
    Case(_SEMANTIC, 32, {"compile": False}),
    Case(_SEMANTIC, 32, {"compile": True}),
    Case(_SEMANTIC, 32, {}, devices=(1,)),
    Case(_LARGE, 8, {"compile": False}),
    Case(_LARGE, 8, {"compile": False, "strategy": "fsdp"}, devices=(2,)),
    Case(_LARGE, 8, {"compile": True, "strategy": "fsdp"}, devices=(2,)),
    Case(
        _LARGE,
        8,
        {"compile": False, "strategy": "fsdp", "grad_checkpointing": True},
        devices=(2,),
    ),
)


def main() -> None:
    """Measure, and write the page and its JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=4, help="of which the first does not count")
    parser.add_argument("--code", default="", help="commit that is measured, for the page")
    parser.add_argument("--how", nargs="+", help="these rows alone: eager, compile, fsdp, ...")
    parser.add_argument("--models", nargs="+", help="others than those of the page, batches of 2")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    cases = [case for case in CASES if options.devices in case.devices]
    if options.how:
        cases = [case for case in cases if name_of(case) in options.how]
    if options.models:
        cases = [
            Case(model, 2, how) for model in options.models for how in ({"compile": False}, {})
        ]
    path = options.output / "training_speed.json"
    for case in cases:
        row = measure(case, options)
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            kept = json.loads(path.read_text()) if path.exists() else []
            kept = [other for other in kept if other["key"] != row["key"]]
            rows = sorted([*kept, row], key=lambda one: one["order"])
            write_file(path, json.dumps(rows, indent=1) + "\n")
            write_page(
                options.output / "training_speed.md",
                "Training steps",
                render(rows),
                tool=__file__,
            )
            print(row, flush=True)


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Return the row of a case."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    seconds, speeds = (_train if case.how else _bare)(case, options)
    how = name_of(case)
    return {
        "key": f"{case.model} {case.batch_size} {how} {options.devices}",
        "order": [c.model for c in CASES].index(case.model) if not options.models else 0,
        "model": case.model,
        "batch": case.batch_size,
        "devices": options.devices,
        "how": how,
        "code": options.code,
        "clips_per_second": statistics.median(speeds),
        "spread": spread_percent(speeds),
        "first_step_seconds": seconds,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
        "conditions": f"{date_and_machine()}, {versions('torch', 'lightning')}",
    }


def name_of(case: Case) -> str:
    """Return what the page calls the way a case trains."""
    words = [name if value is True else value for name, value in case.how.items() if value]
    return " ".join(words) or ("eager" if case.how else BARE)


def _train(case: Case, options: argparse.Namespace) -> tuple[float, list[float]]:
    """Train by the trainer of `train`: seconds of the first step, clips/s of each epoch after."""
    model = build_word(find_model(case.model))
    settings = TrainConfig(
        batch_size=case.batch_size,
        epochs=options.epochs,
        devices=options.devices if torch.cuda.is_available() else "cpu",
        precision="bf16-mixed",
        **case.how,
    )
    names = tuple(str(number) for number in range(model.num_classes))
    classifier = VideoClassifier(
        model,
        num_classes=len(names),
        num_videos=case.batch_size,
        optimizer=OptimizerConfig(lr=1e-5),
        train=settings,
        augment=BatchTransform(model.preprocessing, AugmentationConfig(), class_names=names),
    )
    log, first = EpochLog(lambda _: None), _FirstStep()
    build_trainer(
        settings, run_dir=Path(), callbacks=[log, first, Checkpoint()], clip_grad_norm=None
    ).fit(classifier, SameBatch(_batch(case, model), options.steps))
    num_clips = options.steps * case.batch_size * options.devices
    return first.seconds, [num_clips / epoch.train_seconds for epoch in log.epochs[1:]]


def _bare(case: Case, options: argparse.Namespace) -> tuple[float, list[float]]:
    """Time the compiled step of `stvit-video benchmark --mode training`, in the same rounds."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build_word(find_model(case.model)).to(device)
    clips = _batch(case, model).clip.to(device) / 255
    mode = "default" if device == "cuda" else "off"
    step, _ = build_step(
        model, clips, mode="training", compile_mode=mode, autocast_dtype=torch.bfloat16
    )
    seconds = []
    for count in (1, *[options.steps] * options.epochs):
        start = time.perf_counter()
        for _ in range(count):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds[0], [options.steps * case.batch_size / each for each in seconds[2:]]


class _FirstStep(Callback):
    """Times the first step, which compiles."""

    seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        if not self.seconds:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.start


def _batch(case: Case, model: Any) -> Batch:
    shape = model.preprocessing
    size = (case.batch_size, 3, shape.num_frames, shape.image_size, shape.image_size)
    number = torch.arange(case.batch_size)
    return Batch(torch.randint(0, 256, size, dtype=torch.uint8), number % 2, number, number * 0)


def render(rows: list[dict[str, Any]]) -> Table:
    """Make the table; ratios are to the rows that say so."""
    speeds = {(row["model"], row["devices"], row["how"]): row["clips_per_second"] for row in rows}
    columns: list[Column | str] = [
        *("model", "batch a device", "devices", "how", "code"),
        Column(title="clips/s", format=".0f"),
        Column(title="spread %", format=".1f"),
        Column(title="of devices x one", format=".2f"),
        Column(title="of bare", format=".2f"),
        Column(title="first step s", format=".1f"),
        Column(title="memory GiB", format=".1f"),
    ]
    table = []
    for row in rows:
        model, devices, how = row["model"], row["devices"], row["how"]
        alone, bare = speeds.get((model, 1, how)), speeds.get((model, devices, BARE))
        table.append(
            [
                *(model, row["batch"], devices, how, row["code"]),
                *(row["clips_per_second"], row["spread"]),
                row["clips_per_second"] / alone / devices if alone and devices > 1 else None,
                row["clips_per_second"] / bare if bare and how != BARE else None,
                *(row["first_step_seconds"], row["memory_gib"]),
            ]
        )
    notes = dict.fromkeys(row["conditions"] for row in rows)
    return make_table(
        "Training from memory, mixed bf16", columns, table, note=". ".join(notes) + "."
    )


if __name__ == "__main__":
    main()
