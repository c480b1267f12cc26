"""The Python of the README and of the docs, as a user would type it: checked and run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stvit_video

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = {
    f"{page.stem.lower()}_{number}": block
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
}
NEEDS_MORE = {name for name in BLOCKS if name.startswith(("weights", "data", "measuring"))}
"""Pages whose lines need a hub, a data set or an hour."""


@pytest.fixture
def place(tmp_path, monkeypatch, counting_video):
    """A folder with the files that the pages name."""
    for name in ("some_clip.mp4", "another.mp4"):
        shutil.copy(counting_video, tmp_path / name)
    model = stvit_video.create_model("demo_tiny", num_classes=2, semantic="4x2x2@2")
    for run in ("mine", "demo/semantic"):
        stvit_video.write_checkpoint(model, tmp_path / "runs" / run, labels=("left", "right"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_page_is_found():
    assert {"readme_0", "readme_1", "python_0", "python_3", "weights_0"} <= BLOCKS.keys()


def test_the_pages_pass_strict_type_checks(tmp_path):
    for name, block in BLOCKS.items():
        if name not in NEEDS_MORE:
            (tmp_path / f"{name}.py").write_text(block)
    cache = ROOT / ".mypy_cache" / "pages"
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.stdout.startswith("Success: no issues found"), result.stdout


@pytest.mark.parametrize("name", sorted(BLOCKS.keys() - NEEDS_MORE - {"readme_0"}))
def test_the_pages_run(name, place, capsys):
    exec(compile(BLOCKS[name], name, "exec"), {"__name__": name})
    assert ("print" in BLOCKS[name]) == bool(capsys.readouterr().out)


def test_the_comments_on_the_first_page_are_right():
    names = {}
    exec(compile(BLOCKS["readme_0"], "readme_0", "exec"), names)
    assert names["logits"].shape == (2, 174)
    assert names["features"].shape == (1, 768, 8, 4, 4)
    assert names["faster"].token_counts() == {"input": 1568, "semantic": 128}


def test_the_tour_names_every_public_name():
    text = (ROOT / "docs" / "python.md").read_text() + (ROOT / "README.md").read_text()
    words = set(re.findall(r"\w+", text))
    assert [name for name in stvit_video.__all__ if name not in words] == []
