"""Time models on the CPU in float32, bfloat16 and int8, side by side.

    python tools/benchmark_cpu.py        # writes docs/results/cpu.md, in 5 minutes

int8 are torchao's linear layers: weights rounded once, inputs at every call, on a bfloat16 network.
Run it on an idle machine; needs torchao.
"""

import argparse
import copy
import warnings
from pathlib import Path

import torch
from result_page import RESULTS, date_and_machine, versions, write_page
from torch import Tensor, nn
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

from stvit_video.measure.compare.words import build_word, find_model
from stvit_video.measure.throughput import ThroughputReport, compare_throughput
from stvit_video.report.tables import Cell, Column, Table, make_table

SMALL = "videomae_small_patch16_224"
WORDS = [SMALL, f"{SMALL}:4x4x4@4", f"{SMALL}:8x4x4@2"]
WAYS = {
    "float32": (torch.float32, "off"),
    "float32, compiled": (torch.float32, "default"),
    "bfloat16, compiled": (torch.bfloat16, "default"),
    "int8, compiled": (torch.bfloat16, "default"),
}
"""What a column says -> type of clips and weights, how it is compiled."""


def main() -> None:
    """Measure, and write docs/results/cpu.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=WORDS)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # of torchao about what it will call otherwise
    rows = [row for size in options.batch_sizes for row in measure(options, size)]
    table = render(rows, options)
    write_page(options.output / "cpu.md", "Speed on a CPU", table, tool=__file__)


def measure(options: argparse.Namespace, batch_size: int) -> list[list[Cell]]:
    """Let all models have their turns in all ways, on the same clips."""
    networks: dict[tuple[str, str], nn.Module] = {}
    clips: dict[tuple[str, str], Tensor] = {}
    for word in options.models:
        torch.manual_seed(0)
        model = build_word(find_model(word)).eval().requires_grad_(False)
        look = model.preprocessing
        drawn = torch.randn(batch_size, 3, look.num_frames, look.image_size, look.image_size)
        for how, (dtype, _) in WAYS.items():
            networks[word, how] = copy.deepcopy(model).to(dtype)
            clips[word, how] = drawn.to(dtype)
        quantize_(networks[word, "int8, compiled"], Int8DynamicActivationInt8WeightConfig())
    reports = compare_throughput(
        {str(key): network for key, network in networks.items()},
        {str(key): clip for key, clip in clips.items()},
        num_rounds=options.rounds,
        compile_mode={str(key): WAYS[key[1]][1] for key in networks},
    )
    rows: list[list[Cell]] = []
    for word, how in networks:
        plain = reports[str((word, "float32"))]
        exact, found = (logits(networks[word, x], clips[word, x]) for x in ("float32", how))
        difference = float((found - exact).abs().max() / exact.abs().max())
        rows.append([word, how, batch_size, *figures(reports[str((word, how))], plain), difference])
    return rows


@torch.inference_mode()
def logits(network: nn.Module, clips: Tensor) -> Tensor:
    """Classify, in float32."""
    return torch.as_tensor(network(clips)).float()


def figures(report: ThroughputReport, plain: ThroughputReport) -> list[Cell]:
    """Speed, its ratio to the first model and to the same one as it is, latency, spread."""
    return [
        report.clips_per_second,
        f"{report.ratio:.2f}",
        f"{report.ratio_low:.2f}-{report.ratio_high:.2f}",
        f"{report.ratio / plain.ratio:.2f}",
        1e3 * report.median_step_seconds,
        100 * report.spread,
    ]


def render(rows: list[list[Cell]], options: argparse.Namespace) -> Table:
    """Lay out the rows, and say under which conditions they were measured."""
    columns: list[Column | str] = ["model", "how", "batch"]
    columns += [Column(title="clips/s", format=".2f"), "ratio", "10-90 %", "to its float32"]
    columns += [Column(title="p50 ms", format=".0f"), Column(title="spread %", format=".1f")]
    columns += [Column(title="logits off by", format=".0e")]
    note = (
        "All have their turns in the same rounds; ratio: speed over that of the first row, median"
        " over rounds, and its first and last decile. Spread: between the quartiles. logits off by:"
        " largest difference to the same random weights in float32, as a share of the largest"
        " logit. int8: torchao's `Int8DynamicActivationInt8WeightConfig` on the bfloat16 network."
        f" {options.threads} threads, {options.rounds} rounds of 1 step."
        f" {date_and_machine()}, {cpu_features()}, {versions('torch', 'torchao')}."
    )
    return make_table("CPU", columns, rows, note=note)


def cpu_features() -> str:
    """Say which matrix instructions the processor has."""
    kinds = {"AMX": torch.cpu._is_amx_tile_supported(), "AVX-512": torch.cpu._is_avx512_supported()}
    return " and ".join(name for name, known in kinds.items() if known) or "neither AMX nor AVX-512"


if __name__ == "__main__":
    main()
