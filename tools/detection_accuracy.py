"""Train detectors on dense, recovered and reduced networks to find garments, and test them.

    python tools/detection_accuracy.py --images FOLDER --results FILE --work FOLDER --steps 6000

The detector, its steps, images and seeds are the same in every row: Mask R-CNN on Swin-T, dense
(`dense`); with the tokens of stage 3 clustered from its first block on and recovered in its last
(`recovered`, a unit of STViT-R); clustered as well, but each place given the nearest token
(`upsampled`); and with stage 3 on averages of patches, given to the nearest places (`pooled`).
Training draws garments of the official training set, the test those of the test set.

Every finished row and seed is a line of FILE at once, and is skipped when the tool is called again;
what the time did not suffice for goes on from the work folder. `--speed` times the networks side by
side instead. `tools/write_detection.py` writes docs/results/detection.md from the file.
"""

import argparse
import math
import time
from typing import Any

import torch
from garment_scenes import NUM_CLASSES, NUM_DRAWS, SIZE, as_targets, draw_scenes
from moving_garments import Pictures, load_pictures
from result_lines import append, append_speeds
from result_page import date_and_machine, versions
from torch import Tensor, nn
from torchmetrics.detection import MeanAveragePrecision
from torchvision.models.detection.anchor_utils import AnchorGenerator
from training_pool import build_optimizer, draw_numbers, pool_parser, run_missing

from stvit_video.detection.networks.build import Detector
from stvit_video.detection.networks.create import create_detector
from stvit_video.measure.flops import count_flops
from stvit_video.measure.throughput import compare_throughput
from stvit_video.models.network.stages import run_blocks
from stvit_video.tokens.grid import Grid
from stvit_video.tokens.semantic.generator import PerWindow
from stvit_video.tokens.semantic.pooling import AveragePooling
from stvit_video.tokens.token_set import TokenSet

NETWORK = "swin_tiny_patch4_window7_224"
ROWS: dict[str, str | None] = {
    "dense": None,
    "recovered": "1x6x6@0-6",
    "upsampled": "1x6x6@0",
    "pooled": None,
}
"""Row -> semantic setting."""
PER_WINDOW = PerWindow(Grid(1, 7, 7), Grid(1, 3, 3))
"""What a window of stage 3 keeps in all rows but the dense one."""
TEST_SEED, TEST_BATCH = 9, 25
STAGE_3 = 4
"""Its place among the stages and mergings of the network."""


class PooledStage(nn.Module):
    """Runs the blocks of a stage on averages of its patches: reduction without clustering."""

    def forward(self, state: TokenSet, blocks: list[nn.Module]) -> TokenSet:
        """(B, N, D) -> (B, S, D)."""
        grid = PER_WINDOW.semantic_grid(state.grid)
        return run_blocks(TokenSet(AveragePooling()(state.tokens, state.grid, grid), grid), blocks)


def main() -> None:
    """Train and test what is missing in the file of results."""
    parser = pool_parser(__doc__, ROWS, steps=6000)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--num_test", type=int, default=1000, help="images of the test")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    load_pictures(options.images, torch.device("cpu"), "middle")  # refuses wrong files ahead
    if options.speed:
        measure_speed(options)
    else:
        run_missing(run_row, options)


def build(row: str) -> Detector:
    """Build the detector of a row, for images of one size and garments of 16 pixels and more."""
    detector = create_detector(
        NETWORK,
        num_classes=NUM_CLASSES,
        semantic=ROWS[row],
        drop_path=0.1,
        min_size=SIZE,
        max_size=SIZE,
    )
    if row == "pooled":
        detector.network.stages[STAGE_3] = PooledStage()
    heads: Any = detector
    heads.rpn.anchor_generator = AnchorGenerator(
        tuple((size,) for size in (16, 32, 64, 128, 256)), ((0.5, 1.0, 2.0),) * 5
    )
    heads.roi_heads.fg_bg_sampler.batch_size_per_image = 128
    return detector


def count_macs(row: str) -> int:
    """Count the multiply-adds of the network below the detector, for one image."""
    return count_flops(
        build(row).network.eval(), torch.zeros(1, 3, 1, SIZE, SIZE), num_views=1
    ).macs


def run_row(row: str, seed: int, options: argparse.Namespace, deadline: float) -> None:
    """Train a row with a seed, from where it was left; test it and keep the result when done."""
    torch.set_num_threads(1)
    device = torch.device(options.device)
    parts = load_pictures(options.images, device, "middle")
    torch.manual_seed(seed)
    detector = build(row).to(device).train()
    optimizer, schedule = build_optimizer(detector, lr=options.lr, steps=options.steps)
    path, first, spent = options.work / f"{row}_{options.steps}_{seed}.pt", 0, 0.0
    if path.exists():
        kept = torch.load(path, map_location=device, weights_only=True)
        detector.load_state_dict(kept["detector"])
        optimizer.load_state_dict(kept["optimizer"])
        first, spent = kept["step"], kept["seconds"]
    start, loss, step = time.time(), float("nan"), first
    while step < options.steps and time.time() < deadline:
        schedule.set(epoch=0, step=step)
        loss = train_step(detector, optimizer, parts["train"], options, number=step, seed=seed)
        if not math.isfinite(loss):
            raise RuntimeError(f"the loss is {loss} at step {step}")
        if step in (first + 20, first + 100):
            per_step = (time.time() - start) / (step - first + 1)
            print(f"{row}, seed {seed}: {1000 * per_step:.0f} ms a step", flush=True)
        step += 1
    spent += time.time() - start
    state = {"detector": detector.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state | {"step": step, "seconds": spent}, path)
    print(f"{row}, seed {seed}: at step {step} of {options.steps}, loss {loss:.3f}", flush=True)
    if time.time() >= deadline:
        return
    result = {
        "row": row,
        "steps": options.steps,
        "seed": seed,
        "batch_size": options.batch_size,
        "lr": options.lr,
        "macs": count_macs(row),
        "num_test": options.num_test,
        "test": test(detector.eval(), parts["test"], options.num_test),
        "seconds": spent,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
        "where": f"{date_and_machine()}, {versions('torch', 'torchvision', 'pycocotools')}",
    }
    append(options.results, result)
    path.unlink(missing_ok=True)
    print(f"{row}, seed {seed}: {result['test']} after {spent:.0f} s", flush=True)


def train_step(
    detector: nn.Module,
    optimizer: torch.optim.Optimizer,
    pictures: Pictures,
    options: argparse.Namespace,
    *,
    number: int,
    seed: int,
) -> float:
    """Draw a batch, and take a step; returns the loss."""
    device = pictures.pixels.device
    scenes = draw_scenes(
        pictures, draw_numbers((options.batch_size, NUM_DRAWS), seed * 2**32 + number, device)
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        losses = detector(list(scenes.images), as_targets(scenes))
    loss = torch.stack([value.float() for value in losses.values()]).sum()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach())


@torch.inference_mode()
def test(detector: Detector, pictures: Pictures, num_images: int) -> dict[str, float]:
    """Return COCO's AP of boxes and masks on images of the test garments, in %."""
    device = pictures.pixels.device
    paste_on_cpu(detector)
    metric = MeanAveragePrecision(iou_type=("bbox", "segm"), backend="pycocotools")
    metric.warn_on_many_detections = False
    for start in range(0, num_images, TEST_BATCH):
        scenes = draw_scenes(
            pictures, draw_numbers((TEST_BATCH, NUM_DRAWS), TEST_SEED * 2**40 + start, device)
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            answers = detector(list(scenes.images))
        found = [
            {**answer, "masks": answer["masks"][:, 0] > 0.5, "boxes": answer["boxes"].float()}
            for answer in answers
        ]
        targets = [{**t, "masks": t["masks"].bool()} for t in as_targets(scenes)]
        metric.update(*([_on_cpu(item) for item in items] for items in (found, targets)))
    measured = metric.compute()
    names = ("map", "map_50", "map_small", "map_medium", "map_large")
    return {
        f"{kind}_{name}": 100 * float(measured[f"{kind}_{name}"])
        for kind in ("bbox", "segm")
        for name in names
    }


def paste_on_cpu(detector: Any) -> None:
    """Paste masks where they wait for no GPU: torchvision asks it for every side of every box."""
    paste = detector.transform.postprocess
    detector.transform.postprocess = lambda found, *sizes: paste(
        [_on_cpu(item) for item in found], *sizes
    )


def _on_cpu(item: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in item.items()}


def measure_speed(options: argparse.Namespace) -> None:
    """Time the networks with their maps side by side, alone on the device."""
    device = torch.device(options.device)
    is_cuda = device.type == "cuda"
    pyramids = {row: build(row).backbone.pyramid.to(device).eval() for row in options.rows}
    images = torch.randn(64 if is_cuda else 2, 3, SIZE, SIZE, device=device)
    reports = compare_throughput(
        pyramids,
        images,
        num_rounds=15,
        steps_per_round=3,
        compile_mode="default" if is_cuda else "off",
        autocast_dtype=torch.bfloat16 if is_cuda else None,
    )
    where = f"{date_and_machine()}, {versions('torch')}"
    append_speeds(options.results, reports, where=where)


if __name__ == "__main__":
    main()
