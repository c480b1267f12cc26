"""Train detectors of actions to say what moves how in a box of moving garments, and test them.

    python tools/tube_accuracy.py --images FOLDER --results FILE --work FOLDER

Clips of `tools/moving_garments.py` hold two moving garments. A box is drawn around each in the
middle frame; its labels are the garment (10) and the motion (8). Features of the box are read from
the space-time grid (`stvit_video.detection.actions`): of all tokens (`dense`), of tokens recovered
from semantic ones (`recovered`), or of the grid of semantic tokens (`clustered`) or of averages
(`averaged`), whose places are coarse. Figures are frame mAP on the official test garments.

`tools/write_tubes.py` writes docs/results/tubes.md from the file of results.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accuracy_rows import Row
from accuracy_rows import build as build_network
from accuracy_training import pixel_statistics
from moving_garments import (
    GARMENTS,
    NUM_DRAWS,
    NUM_FRAMES,
    NUM_MOTIONS,
    SIZE,
    Pictures,
    draw_sprites,
    load_pictures,
    sprite_boxes,
)
from result_lines import append
from result_page import date_and_machine, versions
from torch import Tensor, nn
from training_pool import build_optimizer, draw_numbers, pool_parser, run_missing

from stvit_video.detection.actions.frame_ap import Actions, frame_average_precision
from stvit_video.detection.actions.network import box_features
from stvit_video.measure.flops import count_flops
from stvit_video.models.network.video_model import VideoModel

ROWS = {
    "dense": Row(group="main"),
    "recovered": Row(group="main", setting="4x4x4@2-8"),
    "clustered": Row(group="main", setting="4x4x4@2"),
    "averaged": Row(group="main", setting="average:grid=4x4x4,block=3"),
}
NUM_CLASSES = len(GARMENTS) + NUM_MOTIONS
KEY_FRAME = NUM_FRAMES // 2
TEST_SEED, TEST_BATCH = 9, 250


def main() -> None:
    """Train and test what is missing in the file of results."""
    parser = pool_parser(__doc__, ROWS, steps=4000)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--num_test", type=int, default=5000, help="clips of the test")
    options = parser.parse_args()
    load_pictures(options.images, torch.device("cpu"), "middle")  # refuses wrong files ahead
    run_missing(run_row, options)


def build(row: str) -> VideoModel:
    """Build the network of a row, whose head reads a box."""
    network = build_network(ROWS[row])
    network.reset_classifier(NUM_CLASSES)
    return network


def draw_tubes(pictures: Pictures, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Make clips (B, 3, T, H, W), boxes (B, 2, 4) and their labels (B, 2, K), ones and zeros."""
    clip, *sprites = draw_sprites(pictures, numbers)
    boxes = torch.stack([sprite_boxes(sprite, KEY_FRAME) for sprite in sprites], dim=1)
    labels = [
        torch.cat(
            [
                F.one_hot(pictures.garment[sprite.picture], len(GARMENTS)),
                F.one_hot(sprite.motion, NUM_MOTIONS),
            ],
            dim=1,
        )
        for sprite in sprites
    ]
    return clip, boxes, torch.stack(labels, dim=1).float()


def score(network: VideoModel, clip: Tensor, boxes: Tensor) -> Tensor:
    """Score the labels of boxes: clips in 0..1, boxes (B, 2, 4) -> logits (B, 2, K)."""
    mean, std = pixel_statistics(clip.device)
    with torch.autocast(clip.device.type, torch.bfloat16, enabled=clip.is_cuda):
        grid = network.forward_features((clip - mean) / std)
    read = box_features(grid.float(), list(boxes), size=(SIZE, SIZE))
    return network.head(read).unflatten(0, boxes.shape[:2])


def run_row(row: str, seed: int, options: argparse.Namespace, deadline: float) -> None:
    """Train a row with a seed and test it; what the time does not suffice for is not kept."""
    torch.set_num_threads(1)
    device = torch.device(options.device)
    parts = load_pictures(options.images, device, "middle")
    torch.manual_seed(seed)
    network = build(row).to(device).train()
    optimizer, schedule = build_optimizer(network, lr=options.lr, steps=options.steps)
    start, broken, step = time.time(), list[str](), 0
    while step < options.steps and not broken:
        if time.time() > deadline:
            print(f"{row}, seed {seed}: given up at step {step}, no time", flush=True)
            return
        schedule.set(epoch=0, step=step)
        drawn = draw_numbers((options.batch_size, NUM_DRAWS), seed * 2**32 + step, device)
        broken = train_step(network, optimizer, *draw_tubes(parts["train"], drawn))
        step += 1
    found = None if broken else test(network.eval(), parts["test"], options.num_test)
    clip_of_one = torch.zeros(1, 3, NUM_FRAMES, SIZE, SIZE)
    result: dict[str, Any] = {
        "row": row,
        "steps": options.steps,
        "seed": seed,
        "batch_size": options.batch_size,
        "lr": options.lr,
        "macs": count_flops(build(row).eval(), clip_of_one, num_views=1).macs,
        "num_test": options.num_test,
        "test": found,
        **({"diverged_at": step - 1, "diverged_in": broken} if broken else {}),
        "seconds": time.time() - start,
        "where": f"{date_and_machine()}, {versions('torch', 'torchvision')}",
    }
    append(options.results, result)
    print(f"{row}, seed {seed}: {found} after {result['seconds']:.0f} s", flush=True)


def train_step(
    network: VideoModel,
    optimizer: torch.optim.Optimizer,
    clip: Tensor,
    boxes: Tensor,
    labels: Tensor,
) -> list[str]:
    """Take a step, unless a gradient is no number; returns the weights of which that is so."""
    loss = F.binary_cross_entropy_with_logits(score(network, clip, boxes), labels)
    optimizer.zero_grad()
    loss.backward()
    if not nn.utils.clip_grad_norm_(network.parameters(), 1.0).isfinite():
        named = network.named_parameters()
        return [name for name, p in named if p.grad is not None and not p.grad.isfinite().all()]
    optimizer.step()
    return []


@torch.inference_mode()
def test(network: VideoModel, pictures: Pictures, num_clips: int) -> dict[str, float]:
    """Return frame mAP over all labels, garments and motions, in %."""
    device = pictures.pixels.device
    scores, boxes, labels = [], [], []
    for start in range(0, num_clips, TEST_BATCH):
        drawn = draw_numbers((TEST_BATCH, NUM_DRAWS), TEST_SEED * 2**40 + start, device)
        clip, box, label = draw_tubes(pictures, drawn)
        scores.append(score(network, clip, box).sigmoid().float().cpu())
        boxes.append(box.cpu())
        labels.append(label.cpu())
    precision = frame_average_precision(
        as_actions(torch.cat(boxes), torch.cat(scores)),
        as_actions(torch.cat(boxes), torch.cat(labels), least=0.5),
        num_classes=NUM_CLASSES,
    )
    parts = {"map": precision, "garment": precision[: len(GARMENTS)]}
    parts["motion"] = precision[len(GARMENTS) :]
    return {name: 100 * float(np.nanmean(part)) for name, part in parts.items()}


def as_actions(boxes: Tensor, scores: Tensor, *, least: float = -1.0) -> Actions:
    """List the labels of boxes (B, 2, 4) whose score (B, 2, K) is at least so high."""
    clip, place, label = (scores >= least).nonzero().numpy().T
    return Actions(
        frame=clip.astype(np.int64),
        box=boxes[clip, place].numpy().astype(np.float32),
        label=label.astype(np.int64),
        score=scores[clip, place, label].numpy().astype(np.float32),
    )


if __name__ == "__main__":
    main()
