"""Measure where a freshly sparsified model starts, without any training of the semantic model.

Trains one dense model on clips of real handwritten digits (of the package scikit-learn) that move
in four directions over clutter, label = digit x motion, 16 classes; then makes it semantic in every
way and tests it on digits of other writers. Writes docs/results/sparsify_start.md. About 10 minutes
on one core: `.venv/bin/python tools/sparsify_start.py`.

Legend: B clips, T frames, H W pixels.
"""

import argparse
import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from stvit_video.files import write_file
from stvit_video.models import registry
from stvit_video.models.registry import create_model
from stvit_video.models.sparsify import sparsify

PAGE = Path(__file__).parents[1] / "docs" / "results" / "sparsify_start.md"
NUM_DIGITS, NUM_FRAMES, SIZE, NUM_TESTED = 4, 8, 16, 400
MOTIONS = torch.tensor([(0, 1), (0, -1), (1, 0), (-1, 0)])
GRIDS = ("4x2x2@1", "4x2x2@2", "4x2x2@3", "4x2x2@4", "4x2x2@5", "2x4x4@3", "2x2x2@3")
OPTIONS = (
    "pool=max",
    "pool=avg",
    "pool=max,scope=tube",
    "pool=avg,scope=tube",
    "pool=max,layers=1",
    "pool=avg,layers=1",
)


def load_pictures() -> dict[str, list[Tensor]]:
    """Digits by part: the first 1200 pictures train, the others, of other writers, test."""
    digits = load_digits()
    pictures = torch.tensor(digits.images / 16, dtype=torch.float32)  # (R, 8, 8)
    labels, is_train = torch.tensor(digits.target), torch.arange(len(pictures)) < 1200
    return {
        part: [pictures[mine & (labels == digit)] for digit in range(NUM_DIGITS)]
        for part, mine in (("train", is_train), ("test", ~is_train))
    }


def draw_clips(
    pictures: list[Tensor], num_clips: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw clips (B, 3, T, H, W) and labels (B,): a digit that moves and wraps round."""

    def draw(stop: int, *shape: int) -> Tensor:
        return torch.randint(stop, shape, generator=generator)

    digit, motion = draw(NUM_DIGITS, num_clips), draw(4, num_clips)
    canvas = torch.zeros(num_clips, SIZE, SIZE)
    for i, label in enumerate(digit.tolist()):
        canvas[i, :8, :8] = pictures[label][draw(len(pictures[label]), 1)]
    steps = torch.arange(NUM_FRAMES)[None, :, None] * MOTIONS[motion][:, None]
    shift = draw(SIZE, num_clips, 2)[:, None] + steps  # (B, T, 2)
    places = (torch.arange(SIZE) - shift[..., None]) % SIZE  # (B, T, 2, SIZE)
    clip = torch.arange(num_clips)[:, None, None, None]
    moved = canvas[clip, places[:, :, 0, :, None], places[:, :, 1, None, :]]  # (B, T, H, W)
    still = 0.3 * torch.rand(num_clips, 1, SIZE, SIZE, generator=generator)
    noise = 0.1 * torch.rand(num_clips, NUM_FRAMES, SIZE, SIZE, generator=generator)
    frames = (torch.maximum(still + noise, moved) - 0.3) / 0.3
    return frames[:, None].expand(-1, 3, -1, -1, -1), digit * 4 + motion


def train_dense(pictures: list[Tensor], *, num_steps: int, has_class_token: bool) -> nn.Module:
    """Train a small joint-attention model: 64 tokens, width 64, 7 blocks."""
    torch.manual_seed(0)
    name = "demo_tiny"
    row = dataclasses.replace(
        registry.VARIANTS[name],
        **{"dim": 64, "depth": 7, "num_heads": 4, "tubelet_size": (2, 4, 4)},
        class_token=has_class_token,
    )
    registry.VARIANTS[name] = row
    model = create_model(name, num_frames=NUM_FRAMES, image_size=SIZE, num_classes=4 * NUM_DIGITS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=num_steps, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(1)
    for step in range(num_steps):
        clips, labels = draw_clips(pictures, 32, generator)
        loss = F.cross_entropy(model(clips), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    return model.eval()


@torch.inference_mode()
def top1(model: nn.Module, clips: Tensor, labels: Tensor) -> float:
    """Return the share of right answers in per cent."""
    answers = torch.cat([model(part).argmax(dim=1) for part in clips.split(100)])
    return 100 * (answers == labels).float().mean().item()


def start_of(dense: nn.Module, setting: str, std: float, clips: Tensor, labels: Tensor) -> float:
    """Sparsify with global centres drawn with `std` and test."""
    model = sparsify(dense, setting)
    torch.manual_seed(0)
    for key, parameter in model.named_parameters():
        if key.endswith("global_centers"):
            nn.init.normal_(parameter, std=std)
    return top1(model, clips, labels)


def make_page(num_steps: int) -> str:
    """Train, measure and write the tables."""
    pictures = load_pictures()
    clips, labels = draw_clips(pictures["test"], NUM_TESTED, torch.Generator().manual_seed(9))
    lines = [
        "# Where a freshly sparsified model starts",
        "",
        "Written by `tools/sparsify_start.py`. Top-1 in % of `sparsify(dense, setting)` without",
        f"any training, {NUM_TESTED} test clips, 16 classes (chance 6.25); 64 patch tokens, 7",
        f"blocks, the dense model trained for {num_steps} steps; torch {torch.__version__}.",
    ]
    for has_class_token in (True, False):
        dense = train_dense(pictures["train"], num_steps=num_steps, has_class_token=has_class_token)
        name = "class token, kept" if has_class_token else "mean of the tokens"
        lines += ["", f"## Head reads: {name}", ""]
        lines += [f"Dense: {top1(dense, clips, labels):.1f}", ""]
        lines += [f"| setting | {' | '.join(OPTIONS)} | pool=max, G = 0 |"]
        lines += [f"|---|{'---|' * (len(OPTIONS) + 1)}"]
        for grid in GRIDS:
            cells = [start_of(dense, f"{grid},{option}", 0.02, clips, labels) for option in OPTIONS]
            cells.append(start_of(dense, grid, 0.0, clips, labels))
            lines.append(f"| `{grid}` | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
            print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500, help="training steps of a dense model")
    page = make_page(parser.parse_args().steps)
    write_file(PAGE, page)


if __name__ == "__main__":
    main()
