"""Time exported files on the CPU beside the network that they are of, dense and semantic.

    python tools/benchmark_export.py        # writes docs/results/export_cpu.md, in 20 minutes

All take turns on the same uint8 clips, normalisation included. What is in the clips is random: how
long a pass takes does not depend on it.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from result_page import RESULTS, date_and_machine, versions, write_page
from torch import Tensor

from stvit_video.exporting.card import describe_export
from stvit_video.exporting.formats import FORMATS, OPSET
from stvit_video.exporting.program import PixelClassifier, make_program
from stvit_video.measure.compare.words import build_word, find_model
from stvit_video.measure.throughput import percentile, time_in_turns
from stvit_video.report.tables import Cell, Column, Table, make_table
from stvit_video.settings.data import DataConfig
from stvit_video.settings.export import ExportFormat
from stvit_video.settings.views import ViewConfig

MODEL = "videomae_small_patch16_224"
WORDS = (MODEL, f"{MODEL}:4x4x4@4", f"{MODEL}:64@4")
FILES: dict[str, ExportFormat] = {"ONNX Runtime": "onnx", "AOTInductor": "aoti"}

Run = Callable[[Tensor], Tensor]


class Measured(NamedTuple):
    """One way to run one model, on one size of batch."""

    word: str
    how: str
    batch_size: int
    seconds: list[float]
    ratios: list[float]
    """Speed relative to the first model, eager, round by round."""
    difference: float
    """From eager, as a share of the largest logit."""


def main() -> None:
    """Export, measure, and write docs/results/export_cpu.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=WORDS)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with TemporaryDirectory() as folder, torch.inference_mode():
        runs: dict[tuple[str, str], Run] = {}
        for word in options.models:
            runs |= {(word, how): run for how, run in ways_to_run(word, Path(folder)).items()}
            print(word, "exported", flush=True)
        shape = shape_of(options.models[0])
        rows = [
            row
            for batch_size in options.batch_sizes
            for row in measure(runs, (batch_size, *shape), options.rounds)
        ]
    write_page(
        options.output / "export_cpu.md",
        "Exported files on the CPU",
        render(rows, options),
        tool=__file__,
    )


def shape_of(word: str) -> tuple[int, ...]:
    """Return (T, S, S, C) of the clips of a model."""
    look = build_word(find_model(word)).preprocessing
    return (look.num_frames, look.image_size, look.image_size, 3)


def ways_to_run(word: str, folder: Path) -> dict[str, Run]:
    """Build a model with random weights, and what runs it: eager, compiled, files."""
    torch.manual_seed(0)
    model = build_word(find_model(word)).eval().requires_grad_(False)
    whole = PixelClassifier(model, model.preprocessing)
    ways: dict[str, Run] = {"eager": whole, "torch.compile": torch.compile(whole, dynamic=False)}
    for how, name in FILES.items():
        chosen = FORMATS[name]
        card = describe_export(
            model, DataConfig(), ViewConfig(), input_dtype="uint8", opset=chosen.opset
        )
        path = folder / f"{len(list(folder.iterdir()))}{chosen.suffix}"
        with torch.inference_mode(False):
            chosen.write(make_program(model, card), card, path)
        ways[how] = chosen.load(path)[0]
    return ways


def measure(
    runs: dict[tuple[str, str], Run], shape: tuple[int, ...], num_rounds: int
) -> list[Measured]:
    """Let all take turns on clips of a shape (B, T, S, S, C)."""
    clips = torch.randint(0, 256, shape, dtype=torch.uint8)
    logits = {name: run(clips) for name, run in runs.items()}  # compiles
    steps: dict[str, Any] = {
        "\t".join(name): lambda run=run: run(clips) for name, run in runs.items()
    }
    seconds = time_in_turns(steps, device=clips.device, num_rounds=num_rounds)
    first = next(iter(seconds.values()))
    rows = []
    for (word, how), own in zip(runs, seconds.values(), strict=True):
        ratios = [a / b for a, b in zip(first, own, strict=True)]
        eager = logits[word, "eager"]
        difference = float((logits[word, how] - eager).abs().max() / eager.abs().max())
        rows.append(Measured(word, how, shape[0], own, ratios, difference))
        print(word, how, shape[0], f"{1e3 * statistics.median(own):.0f} ms", flush=True)
    return rows


def render(rows: list[Measured], options: argparse.Namespace) -> Table:
    """Make the table."""
    columns: list[Column | str] = [
        "model",
        "run by",
        "clips",
        Column(title="ms", format=".0f"),
        Column(title="speed, eager dense = 1", format=".2f"),
        "10-90 % of rounds",
        Column(title="difference", format=".0e"),
    ]
    cells: list[list[Cell]] = [
        [
            row.word,
            row.how,
            row.batch_size,
            1e3 * statistics.median(row.seconds),
            statistics.median(row.ratios),
            f"{percentile(row.ratios, 0.1):.2f}-{percentile(row.ratios, 0.9):.2f}",
            row.difference,
        ]
        for row in rows
    ]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    note = (
        f"{date_and_machine()}, {options.threads} threads, float32, medians of {options.rounds}"
        f" rounds in turns, ratios round by round; load averages at the end {load} (1, 5, 15 min;"
        " other work shares the machine). uint8 clips in, normalisation included; the difference is"
        f" from eager, as a share of the largest logit. Opset {OPSET};"
        f" {versions('torch', 'onnxruntime')}."
    )
    return make_table("Exported files on the CPU", columns, cells, note=note)


if __name__ == "__main__":
    main()
