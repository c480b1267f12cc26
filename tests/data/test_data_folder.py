"""What `data/` holds, what git ignores there, and what the recipes say of it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY / "data"
SCRIPTS = {path.stem for path in (DATA / "prepare").glob("*.sh")} - {"steps"}
CARDS = {path.stem for path in (DATA / "cards").glob("*.md")}
NAMED_ELSEWHERE = {"charades", "epic_kitchens100", "ava", "activitynet"}
"""Data sets whose class names come with their annotations."""
WITHOUT_MANIFEST = {"ava", "activitynet", "coco"}
"""Data sets of boxes and segments, whose annotations are read as they are."""
RECIPES = sorted((REPOSITORY / "configs").rglob("*.yaml"))


def test_each_data_set_has_a_card_class_names_and_a_script():
    assert {path.stem for path in (DATA / "classes").iterdir()} == CARDS - NAMED_ELSEWHERE
    assert CARDS - WITHOUT_MANIFEST | {"kinetics700_2020"} == SCRIPTS


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_card_says_what_a_user_needs_in_the_same_order(name):
    text = (DATA / "cards" / f"{name}.md").read_text(encoding="ascii")
    assert re.findall(r"^## (.+)", text, re.MULTILINE) == [
        *("Source and licence", "Counts", "Files", "Layout", "Traps", "From download to manifest"),
    ]
    assert (f"data/prepare/{name}.sh" in text) == (name in SCRIPTS)
    assert (f"data/classes/{name}.txt" in text) == (name not in NAMED_ELSEWHERE)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_the_readme_lists_each_data_set_with_its_links(name):
    text = (DATA / "README.md").read_text(encoding="ascii")
    assert f"[{name}](cards/{name}.md)" in text
    assert (f"[classes/{name}.txt](classes/{name}.txt)" in text) == (name not in NAMED_ELSEWHERE)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_reads_what_a_script_writes(recipe):
    settings = yaml.safe_load(recipe.read_text())["data"]
    for part in ("train", "val"):
        path = Path(settings[part])
        if path.parts[:1] == ("data",) and path.parts[1] in WITHOUT_MANIFEST:
            assert path.name in (DATA / "cards" / f"{path.parts[1]}.md").read_text()
        elif path.parts[0] == "data":
            assert path.parts[1] in SCRIPTS
            script = (DATA / "prepare" / f"{path.parts[1]}.sh").read_text()
            assert f"\nmake_part {path.stem} " in script
            assert path.parts[2:] == (f"{part}.csv",)
        else:
            assert path.parts[0] in ("runs", "my_videos")


@pytest.mark.skipif(shutil.which("git") is None, reason="asks git what it ignores")
def test_git_ignores_what_users_put_there_and_nothing_else(tmp_path):
    shutil.copy(DATA / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    names = ["kinetics400/train.csv", "mine.csv", "README.md", ".gitignore", "cards/x.md"]
    names += ["classes/x.txt", "prepare/x.sh", "hmdb51/prepared/videos/a.mp4"]
    command = ["git", "-C", str(tmp_path), "check-ignore", "--no-index", *names]
    ignored = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert ignored == ["kinetics400/train.csv", "mine.csv", "hmdb51/prepared/videos/a.mp4"]
