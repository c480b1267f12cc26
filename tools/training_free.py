"""Measure what reducing tokens costs a trained model, without training, with a little, with all.

    python tools/training_free.py --processes 14        # ten minutes on an H100 with 16 cores
    python tools/training_free.py --raw RAW --demo VIDEOS RUN RUN RUN     # adds runs of the demo
    python tools/training_free.py --only_write     # the page again, from training_free.jsonl

Dense models of five kinds learn moving digits (`moving_digits.py`), each with several seeds. Every
method then reduces the tokens of the same weights, and all are tested on the same clips.
Some settings are trained, too: for a tenth of the dense training from the
dense weights, and from scratch. Writes docs/results/training_free.jsonl, .md and .png.
"""

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from attended_places import attended_places
from moving_digits import NUM_CLASSES, NUM_FRAMES, SIZE, draw_clips, load_pictures
from result_page import RESULTS, date_and_machine, versions
from torch import Tensor, nn
from training_free_page import write_page, write_results

from stvit_video.datasets.from_settings import build_evaluation_loader, read_videos
from stvit_video.files import write_file
from stvit_video.measure.flops import count_flops
from stvit_video.models import registry
from stvit_video.models.checkpoint import load_model
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import create_model
from stvit_video.settings.data import DataConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.video.pixels.crops import normalize_clip

BACKBONES = {
    "joint, mean": ("videomae_base_patch16_224", False),
    "joint, class token": ("vit_base_patch16_224", True),
    "divided": ("timesformer_base_patch16_224", False),
    "factorised encoder": ("vivit_base_fe_patch16x2_224", False),
    "rotary": ("vjepa2_large_patch16_256", False),
    "rotary, attended places": ("vjepa2_large_patch16_256", False),
}
"""A row of the registry whose blocks are made small, and whether it has a class token."""
FIRST = next(iter(BACKBONES))
SAME_WEIGHTS = {"rotary, attended places": "rotary"}
"""Backbones that are tested with the dense weights of another: tokens sit elsewhere in them."""

_GRIDS = ("4x2x2", "4x3x3")
_CENTERS = (8, 16, 24, 36, 48)
JOINT = (
    *(f"{grid}@{d}" for grid in (*_GRIDS, "2x2x2") for d in (1, 2, 3)),
    *(f"{grid}@{d},pool=avg" for grid in _GRIDS for d in (1, 2)),
    *(f"{count}@{d}" for d in (1, 2, 3) for count in _CENTERS),
    *(f"{count}@{d},layers={n}" for n in (1, 2) for d in (1, 2) for count in (16, 36)),
    *(f"4x2x2@{d},centers=far,scope=tube" for d in (1, 2)),
    *(f"tome:r={r}" for r in (8, 12, 16, 20, 24, 32, 40)),
    *(f"random:keep={n},block={d}" for d in (1, 2) for n in (16, 36)),
    *(f"average:grid={grid},block={d}" for d in (1, 2) for grid in _GRIDS),
    *(f"dpcknn:keep={n},block={d}" for d in (1, 2) for n in (16, 36)),
    *(f"rlt:threshold={t}" for t in (0.2, 0.5)),
)
WITH_CLASS_TOKEN = tuple(f"evit:keep={keep},block=2+4" for keep in (0.7, 0.5, 0.3))
IN_FRAMES = (
    *(f"4x{hw}@{d},scope={scope}" for scope in ("frame",) for hw in ("2x2", "3x3") for d in (1, 2)),
    *(f"4x1x{n}@{d},centers=far,scope=frame" for d in (1, 2, 3) for n in (4, 6, 9, 12)),
)
DEMO = (
    *(f"4x2x2@{d}" for d in (1, 2, 3)),
    *(f"4x4x4@{d}" for d in (1, 2)),
    *(f"{count}@{d}" for d in (1, 2, 3) for count in (16, 32, 64)),
    *(f"32@{d},layers={n}" for d in (1, 2) for n in (1, 2)),
    *(f"tome:r={r}" for r in (24, 32, 40, 48, 56, 64, 80)),
    *(f"random:keep={n},block=2" for n in (32, 64)),
    *(f"average:grid={grid},block=2" for grid in ("4x2x2", "4x4x4")),
    *(f"dpcknn:keep={n},block=2" for n in (32, 64)),
    *(f"rlt:threshold={t}" for t in (0.1, 0.2)),
)
SETTINGS = {
    "joint, mean": JOINT,
    "joint, class token": (*JOINT, *WITH_CLASS_TOKEN),
    "divided": (*IN_FRAMES, *(f"{grid}@{d}" for grid in _GRIDS for d in (1, 2))),
    "factorised encoder": IN_FRAMES,
    "rotary": JOINT,
    "rotary, attended places": (
        *(f"{grid}@{d}{pool}" for grid in _GRIDS for d in (1, 2) for pool in ("", ",pool=avg")),
        *(f"{count}@{d},layers={n}" for n in (1, 2) for d in (1, 2) for count in (16, 36)),
    ),
    "demo": DEMO,
}
TRAINED = {
    FIRST: ("4x2x2@1", "16@1", "16@1,layers=1", "16@1,layers=2", "tome:r=24"),
    "rotary": ("4x2x2@1", "4x3x3@1", "16@1"),
    "rotary, attended places": ("4x2x2@1", "4x3x3@1"),
}
"""Settings that are trained as well."""


def main() -> None:
    """Measure what is missing in the folder of raw results, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=3000, help="of a training, of 64 clips each")
    parser.add_argument("--tested", type=int, default=2000, help="test clips")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--processes", type=int, default=1)
    trained = [name for name in BACKBONES if name not in SAME_WEIGHTS]
    parser.add_argument("--backbones", nargs="+", default=trained)
    parser.add_argument("--raw", type=Path, help="folder of raw results to go on with")
    parser.add_argument("--demo", nargs="+", type=Path, help="test videos, and dense run folders")
    parser.add_argument("--only_write", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    if options.only_write:
        write_page(options.output)
        return
    with tempfile.TemporaryDirectory() as folder:
        raw = options.raw or Path(folder)
        raw.mkdir(parents=True, exist_ok=True)
        measure(raw, options)
        write_results(raw, options.output)


def measure(raw: Path, options: argparse.Namespace) -> None:
    """Run all jobs: the dense models first, then those that begin with their weights."""
    context = multiprocessing.get_context("spawn")
    if options.demo:
        videos, *runs = options.demo
        for seed, run in enumerate(runs):
            test_demo(raw, options, videos, run, seed)
        return
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        dense = itertools.product(options.backbones, options.seeds)
        run_all(pool, partial(test_backbone, raw, options), dense)
        for backbone, settings in TRAINED.items():
            if SAME_WEIGHTS.get(backbone, backbone) in options.backbones:
                hows = ("a tenth", "from scratch")
                further = itertools.product([backbone], settings, options.seeds, hows)
                run_all(pool, partial(train_further, raw, options), further)


def run_all(
    pool: ProcessPoolExecutor, job: partial[None], cases: Iterable[tuple[object, ...]]
) -> None:
    """Run a job for all cases, and raise what one of them raised."""
    for future in [pool.submit(job, *case) for case in cases]:
        future.result()


def test_backbone(raw: Path, options: argparse.Namespace, backbone: str, seed: int) -> None:
    """Test a dense model with every setting; train it first where its weights are not kept."""
    if result_file(raw, backbone, "no training", seed, SETTINGS[backbone][-1]).exists():
        return
    dense, kept = build(backbone, None), weights_file(raw, backbone, seed)
    if kept.exists():
        dense.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True))
    else:
        train(dense, options, seed=seed, num_steps=options.steps, lr=2e-3)
        torch.save(dense.state_dict(), kept)
    for own in (backbone, *(name for name, of in SAME_WEIGHTS.items() if of == backbone)):
        with placing(own):
            save(raw, own, seed, test_all(own, dense, test_clips(options), options))


def test_demo(raw: Path, options: argparse.Namespace, videos: Path, run: Path, seed: int) -> None:
    """Test a dense run of the demo with every setting, on two clips of each video."""
    if result_file(raw, "demo", "no training", seed, SETTINGS["demo"][-1]).exists():
        return
    dense = load_model(run)
    loader = build_evaluation_loader(
        read_videos(videos).records,
        dense.preprocessing,
        data=DataConfig(num_workers=0),
        views=ViewConfig(num_clips=2, num_crops=1),
        batch_size=50,
    )
    batches = [(normalize_clip(b.clip, dense.preprocessing), b.label) for b in loader]
    clips, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    save(raw, "demo", seed, test_all("demo", dense, (clips, labels[::2]), options))


def test_all(
    backbone: str, dense: VideoModel, clips: tuple[Tensor, Tensor], options: argparse.Namespace
) -> dict[str, object]:
    """Test a dense model, and its weights with every setting."""
    results = {"dense": judge(dense, clips, options)}
    for setting in SETTINGS[backbone]:
        model = build(backbone, setting)
        model.load_state_dict(dense.state_dict(), strict=False)  # global centres are new
        results[setting] = judge(model, clips, options)
    return results


def placing(backbone: str) -> AbstractContextManager[None]:
    """Return how semantic tokens are placed in a backbone."""
    return attended_places() if "attended" in backbone else nullcontext()


def train_further(
    raw: Path, options: argparse.Namespace, backbone: str, setting: str, seed: int, how: str
) -> None:
    """Train a model with a setting, from the dense weights or from scratch, and test it."""
    if result_file(raw, backbone, how, seed, setting).exists():
        return
    torch.manual_seed(seed)
    model = build(backbone, setting)
    steps, lr = options.steps, 2e-3
    if how == "a tenth":
        steps, lr = options.steps // 10, 5e-4
        path = weights_file(raw, SAME_WEIGHTS.get(backbone, backbone), seed)
        model.load_state_dict(torch.load(path, weights_only=True), strict=False)
    with placing(backbone):
        train(model, options, seed=seed + 100, num_steps=steps, lr=lr)
        results = {setting: judge(model, test_clips(options), options)}
    save(raw, backbone, seed, results, how=how)


def build(backbone: str, setting: str | None) -> VideoModel:
    """Make a network of 7 blocks of width 64 on 144 tokens, or that of the demo."""
    kind = "semantic" if setting and "@" in setting else "reduction"
    if backbone == "demo":
        return create_model("demo_tiny", num_classes=8, **({kind: setting} if setting else {}))
    name, has_class_token = BACKBONES[backbone]
    small = {"dim": 64, "depth": 7, "num_heads": 4, "tubelet_size": (2, 4, 4)}
    if hasattr(registry.VARIANTS[name], "temporal_depth"):
        small["temporal_depth"] = 2
    variant = dataclasses.replace(registry.VARIANTS[name], **small)
    with mock.patch.dict(registry.VARIANTS, small=variant):  # known here alone
        return create_model(
            "small",
            num_classes=NUM_CLASSES,
            num_frames=NUM_FRAMES,
            image_size=SIZE,
            class_token=has_class_token,
            attentive_blocks=0,
            **({kind: setting} if setting else {}),
        )


def train(
    model: nn.Module, options: argparse.Namespace, *, seed: int, num_steps: int, lr: float
) -> None:
    """AdamW under a one-cycle schedule, batches of 64; the seed chooses the clips."""
    device = torch.device(options.device)
    pictures = load_pictures(device)["train"]
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=num_steps, pct_start=0.1
    )
    generator = torch.Generator(device).manual_seed(seed)
    for _ in range(num_steps):
        clips, labels = draw_clips(pictures, 64, generator)
        loss = F.cross_entropy(model(clips), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def test_clips(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Draw the test clips, the same on any machine."""
    pictures = load_pictures(torch.device("cpu"))["test"]
    return draw_clips(pictures, options.tested, torch.Generator().manual_seed(9))


@torch.inference_mode()
def judge(
    model: VideoModel, tested: tuple[Tensor, Tensor], options: argparse.Namespace
) -> dict[str, object]:
    """Return multiply-adds of a clip, and which labels are answered right by their clips."""
    device, (clips, labels) = torch.device(options.device), tested
    macs = count_flops(model.eval().cpu(), clips[:1]).macs
    model.to(device)
    logits = torch.cat([model(part.to(device)).float().cpu() for part in clips.split(100)])
    scores = logits.softmax(dim=1).view(len(labels), -1, logits.shape[1]).mean(dim=1)
    right = (scores.argmax(dim=1) == labels).int().tolist()
    return {"macs": macs, "right": "".join(map(str, right))}


def weights_file(raw: Path, backbone: str, seed: int) -> Path:
    """Where the dense weights are kept."""
    return raw / f"{slug(backbone)}_{seed}.pt"


def result_file(raw: Path, backbone: str, how: str, seed: int, last_setting: str) -> Path:
    """Where the results of a job are kept."""
    return raw / f"{slug(f'{backbone}, {how}, {seed}, {last_setting}')}.json"


def slug(text: str) -> str:
    """Name a file after a text."""
    return re.sub(r"\W+", "_", text)


def save(
    raw: Path,
    backbone: str,
    seed: int,
    results: dict[str, object],
    *,
    how: str = "no training",
) -> None:
    """Keep the results of one job."""
    path = result_file(raw, backbone, how, seed, list(results)[-1])
    where = f"{date_and_machine()}, {versions('torch')}"
    content = {"backbone": backbone, "how": how, "seed": seed, "where": where, "results": results}
    write_file(path, json.dumps(content) + "\n")
    print(f"{backbone}, {how}, {seed}, {list(results)[-1]}", flush=True)


if __name__ == "__main__":
    main()
