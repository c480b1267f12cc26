"""Every recipe loads against the real command line, builds, and is named as its content says."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch

from stvit_video.cli import build_parser, load_command, parse_command
from stvit_video.commands.demo import demo
from stvit_video.demo import SEMANTIC, demo_settings
from stvit_video.models.registry import create_model
from stvit_video.settings.detection import DetectorName
from stvit_video.settings.grammar import parse_semantic
from stvit_video.settings.training import RunConfig

ROOT = Path(__file__).parents[1] / "configs"
RECIPES = sorted(ROOT.rglob("*.yaml"))


def parse(words):
    return parse_command(build_parser("train", load_command("train")), words)


def load(path):
    values = parse(["--config", str(path)])
    del values["json"], values["output_dir"], values["dry_run"]
    return RunConfig(**values)


def name_of(path):
    return str(path.relative_to(ROOT))


def test_there_are_recipes_for_each_data_set():
    assert {path.parent.name for path in RECIPES} == {
        *("ava", "coco", "demo", "class_folders", "kinetics400", "something_something_v2"),
    }


NOT_CLIPS = ("demo", "class_folders", "ava", "coco")
"""Recipes of our own, and of detectors."""
PUBLISHED = [path for path in RECIPES if path.parent.name not in NOT_CLIPS]
"""Recipes that others published, dense; one override makes them semantic."""


def semantic_words(path):
    """Read the settings that a recipe says to add for semantic tokens."""
    (line,) = re.findall(r"^# Semantic: (.+)$", path.read_text(), re.MULTILINE)
    return line.split()


@pytest.mark.parametrize("path", PUBLISHED, ids=name_of)
def test_a_published_recipe_says_how_it_becomes_semantic(path):
    dense = load(path)
    assert dense.model.semantic is None
    values = parse(["--config", str(path), *semantic_words(path)])
    model = values["model"]
    assert values["output_dir"] == Path(f"{parse(['--config', str(path)])['output_dir']}_semantic")
    with torch.device("meta"):
        built = create_model(model.name, semantic=model.semantic, frame_stride=model.frame_stride)
    tokens = built.token_counts()
    assert tokens["semantic"] < tokens["input"] / 4


@pytest.mark.parametrize("path", PUBLISHED, ids=name_of)
def test_a_published_recipe_is_in_the_table_of_differences(path):
    (source,) = re.findall(r"^# Source:   (\S+/\S+) \S", path.read_text(), re.MULTILINE)
    page = (ROOT.parent / "docs" / "recipes.md").read_text()
    assert f"`{name_of(path).removesuffix('.yaml')}`" in page
    assert source in page


@pytest.mark.parametrize("path", PUBLISHED, ids=name_of)
def test_a_recipe_is_named_as_its_run_and_its_data(path):
    run, name = load(path), name_of(path).removesuffix(".yaml")
    assert run.data.train == Path("data") / path.parent.name / "train.csv"
    output_dir = parse(["--config", str(path)])["output_dir"]
    assert output_dir == Path("runs") / name.replace("/", "_")
    (videos,) = re.findall(r"batch_size: \d+ # on 8 GPUs a step has (\d+) videos", path.read_text())
    train = run.train
    assert int(videos) == 8 * train.batch_size // train.clips_per_video * train.accumulate_steps


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_a_recipe_builds_and_is_named_as_its_content_says(path):
    run = load(path)
    with torch.device("meta"):
        model = create_model(
            run.model.name,
            semantic=run.model.semantic,
            num_frames=run.model.num_frames,
            frame_stride=run.model.frame_stride,
            image_size=run.model.image_size,
            drop_path=run.model.drop_path,
        )
    clip = model.preprocessing
    stem = re.sub(r"_patch\w+", "", run.model.name)
    if run.detector.name in get_args(DetectorName):
        stem = f"{run.detector.name}_{stem}_{run.detector.min_size}"
    else:
        stem += f"_{clip.num_frames}x{clip.frame_stride}_{clip.image_size}"
    if run.model.semantic:
        stem += "_semantic_" + "x".join(map(str, parse_semantic(run.model.semantic)[0].grid))
    assert path.stem == stem


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_a_recipe_begins_with_command_expected_result_and_time(path):
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("# Command:  stvit-video ", "# Expected: ", "# Time:     "):
        assert any(line.startswith(word) for line in header), word
    assert f"configs/{name_of(path)}" in "\n".join(header)


@pytest.mark.parametrize("semantic", [None, SEMANTIC])
def test_the_demo_trains_as_its_recipes_say(semantic):
    end = "" if semantic is None else "_semantic_4x2x2"
    epochs = demo.__kwdefaults__["epochs"]
    settings = demo_settings(Path("runs/demo/data"), semantic=semantic, epochs=epochs, seed=0)
    assert load(ROOT / "demo" / f"demo_tiny_8x2_64{end}.yaml") == settings
