"""The commands of the tutorials, in their order, on tiny videos and a network of few channels."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

import stvit_video
from stvit_video.cli import main
from stvit_video.datasets.from_settings import read_videos
from stvit_video.datasets.manifest import write_manifest
from stvit_video.models.registry import VARIANTS

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BASE = "videomae_base_patch16_224"
NOT_RUN = {
    "git clone https://github.com/cvdfoundation/kinetics-dataset && cd kinetics-dataset",
    "bash k400_downloader.sh && bash k400_extractor.sh",
    "cd ..",
    "stvit-video predict some_clip.mp4 --checkpoint runs/semantic --dtype bfloat16 --compile true",
}
"""A download of half a terabyte, and a minute of compiling."""
SMALLER = {
    "train": (
        *("--train.epochs", "1", "--train.batch_size", "4", "--train.accumulate_steps", "1"),
        *("--train.devices", "cpu", "--train.precision", "32-true", "--data.num_workers", "0"),
        *("--optimizer.warmup_epochs", "0", "--model.image_size", "64"),
    ),
    "evaluate": ("--num_workers", "0"),
    "predict": ("--num_workers", "0"),
    "data prepare": ("--num_workers", "1"),
    "benchmark": ("--rounds", "1", "--batch_sizes", "[1]"),
}
"""Command -> what a test adds to its words, for want of time."""
LEAVES = {
    "own_folder": (
        *("prepared/train/manifest.csv", "runs/mine/model.json", "runs/mine/val/confusion.csv"),
        *("prediction.json", "predictions.csv", "clusters/clusters.html"),
    ),
    "kinetics": (
        *("data/kinetics400/train.csv", "data/kinetics400/val.csv"),
        *("runs/k400_semantic/val/report.json", "runs/k400_semantic/val/videos.npz"),
    ),
    "own_checkpoint": ("weights/mine/model.safetensors", "weights/fast/model.json"),
    "faster": ("weights/untrained/model.json", "dense.json", "semantic.json"),
}
"""Tutorial -> files that its commands leave."""


def commands_of(page):
    """The commands of a page, each in one line."""
    text = "".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    return re.sub(r"\\\n\s*", "", text).splitlines()


@pytest.fixture
def stage(data, tmp_path, monkeypatch, write_numbered):
    """A folder with all that the tutorials name, in which they run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(VARIANTS, BASE, replace(VARIANTS[BASE], dim=24, depth=6, num_heads=2))
    video = write_numbered(Path("some_clip.mp4"), 24)
    for part in ("train", "val"):
        for name in ("abseiling", "zumba"):
            (Path("my_videos") / part / name).mkdir(parents=True)
            shutil.copy(video, Path("my_videos") / part / name / f"{part}.mp4")
        write_manifest(read_videos(Path("my_videos") / part), Path(f"{part}.csv"))
    sizes = {"hidden_size": 24, "num_hidden_layers": 6, "num_attention_heads": 2}
    weights = VideoMAEForVideoClassification(
        VideoMAEConfig(**sizes, intermediate_size=96, num_labels=400)
    )
    for name in ("videomae-base", "videomae-base-finetuned-kinetics"):
        weights.save_pretrained(Path("MCG-NJU") / name)
    torch.save(weights.state_dict(), "checkpoint.pth")
    dense = stvit_video.create_model(BASE, num_classes=2, image_size=64)
    stvit_video.write_checkpoint(dense, "runs/dense", labels=("abseiling", "zumba"))
    shutil.copytree(ROOT / "configs", "configs")
    write_kinetics(Path("kinetics-dataset/k400"), video)
    return tmp_path


def write_kinetics(root, video):
    """CVDF's layout."""
    (root / "annotations").mkdir(parents=True)
    for part in ("train", "val"):
        (root / part).mkdir()
        rows = ["label,youtube_id,time_start,time_end,split\n"]
        for name in ("abseiling", "zumba"):
            number = f"{name[:5]}{part:_<6}"
            rows.append(f"{name},{number},1,11,{part}\n")
            shutil.copy(video, root / part / f"{number}_000001_000011.mp4")
        (root / "annotations" / f"{part}.csv").write_text("".join(rows))


def run(line):
    """Run a command of this library in this process; its exit status."""
    program, *words = shlex.split(line)
    assert program == "stvit-video", line
    known = (name for name in SMALLER if words[: len(name.split())] == name.split())
    return main([*words, *SMALLER.get(next(known, ""), ())])


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_run(page, stage, run_script):
    commands = [line for line in commands_of(page) if line not in NOT_RUN]
    assert len(commands) > 2
    for line in commands:
        if line.startswith("data/prepare/"):
            script, *words = shlex.split(line)
            done = run_script(Path(script).stem, *words)
            assert (done.returncode, done.stderr) == (0, "")
        else:
            assert run(line) == 0, line
    assert [name for name in LEAVES[page.stem] if not Path(name).is_file()] == []


def test_what_is_not_run_is_in_a_tutorial():
    assert {line for page in TUTORIALS for line in commands_of(page)} >= NOT_RUN
    assert {page.stem for page in TUTORIALS} == LEAVES.keys()
