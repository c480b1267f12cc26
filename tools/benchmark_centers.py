"""Time what choosing centres by content costs, beside centres of a grid and merging.

    python tools/benchmark_centers.py        # writes docs/results/centers_speed.md, on one GPU

Models take turns on the same random clips; how long choosing takes does not depend on what is in
them. Forward passes in bfloat16 on a GPU, without and with compiling.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from result_page import RESULTS, date_and_machine, spread_percent, versions, write_page
from torch import Tensor

from stvit_video.measure.compare.words import build_word, find_model
from stvit_video.measure.flops import count_flops
from stvit_video.measure.throughput import compare_throughput, time_in_turns
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.clusters import cluster_tokens
from stvit_video.tokens.semantic.farthest import cluster_farthest, compare_tokens

WORDS = (
    "videomae_base_patch16_224",
    "videomae_base_patch16_224:4x4x4@4",
    "videomae_base_patch16_224:64@4,layers=2",
    "videomae_base_patch16_224:64@4",
    "videomae_base_patch16_224:128@4",
    "videomae_base_patch16_224:64@2",
    "videomae_base_patch16_224:tome:r=65",
    "videomae_base_patch16_224:tome:r=128",
)


def main() -> None:
    """Measure, and write docs/results/centers_speed.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=WORDS)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--centers", type=int, nargs="+", default=[64, 128, 392])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", nargs="+", default=["off", "default"])
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    device = torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    models = {word: build_word(find_model(word)).eval() for word in options.models}
    first = next(iter(models.values()))
    size = first.preprocessing.image_size
    shape = (options.batch_size, 3, first.preprocessing.num_frames, size, size)
    clips = torch.randn(shape, device=device, dtype=dtype)
    macs = {w: count_flops(m, clips[:1].float().cpu()).macs / 1e9 for w, m in models.items()}
    models = {word: model.to(device, dtype) for word, model in models.items()}
    rows: list[list[object]] = []
    dense = 0.0
    for how in options.compile:
        reports = compare_throughput(
            models, clips, num_rounds=options.rounds, steps_per_round=2, compile_mode=how
        )
        for word, report in reports.items():
            seconds = report.median_step_seconds
            dense = dense or seconds
            share = 100 / report.ratio
            rows.append([word, how, macs[word], 1e3 * seconds, share, 100 * report.spread])
            print(*rows[-1], flush=True)
    tokens = torch.randn_like(first.embed(clips)[0].detach())  # (B, N, D)
    steps: dict[str, Callable[[], object]] = {"compare all tokens": lambda: compare_tokens(tokens)}
    for count in options.centers:
        steps |= steps_of(tokens, count)
    for step in steps.values():
        step()  # compiles
    parts = time_in_turns(steps, device=device, num_rounds=options.rounds, steps_per_round=5)
    for name, times in parts.items():
        median = statistics.median(times)
        share, spread = 100 * median / dense, spread_percent(times)
        rows.append([name, "off", None, 1e3 * median, share, spread])
        print(*rows[-1], flush=True)
    write_page(
        options.output / "centers_speed.md",
        "What centres by content cost",
        render(rows, options),
        tool=__file__,
    )


def steps_of(tokens: Tensor, count: int) -> dict[str, Callable[[], object]]:
    """Choosing and assigning alone, and with the means."""
    grid = Grid(1, 1, tokens.shape[1])
    return {
        f"compare, choose {count}": lambda: cluster_farthest(tokens, count),
        f"compare, choose {count}, average": lambda: cluster_tokens(
            tokens, grid, num_regions=1, num_centers=count
        ),
    }


def render(rows: list[list[object]], options: argparse.Namespace) -> Table:
    """Make the table."""
    columns: list[Column | str] = [
        "what",
        "compiled",
        Column(title="GMACs", format=".1f"),
        Column(title="ms", format=".2f"),
        Column(title="% of dense", format=".1f"),
        Column(title="spread %", format=".1f"),
    ]
    note = (
        f"{date_and_machine()}, batches of {options.batch_size}, medians of {options.rounds} rounds"
        f" in turns; shares are of the dense pass that is compiled alike, and of the parts of"
        f" the one that is not. {versions('torch', 'triton')}."
    )
    return make_table("Forward passes, and the choice of centres alone", columns, rows, note=note)


if __name__ == "__main__":
    main()
