import json
import subprocess
import sys
from pathlib import Path

import pytest

from stvit_video.cli import main
from stvit_video.settings import recipes

CONFIGS = Path(__file__).parents[2] / "configs"
NAME = "kinetics400/videomae_base_16x4_224"


def test_every_recipe_is_listed_with_its_first_line(tmp_path, capsys):
    assert main(["recipes", "--json", str(tmp_path / "list.json")]) == 0
    rows = json.loads((tmp_path / "list.json").read_text())
    paths = sorted(CONFIGS.glob("*/*.yaml"))
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    assert [row["name"] for row in rows] == [f"{p.parent.name}/{p.stem}" for p in paths]
    about = "VideoMAE-B fine-tuned on Kinetics-400."
    assert next(row["about"] for row in rows if row["name"] == NAME) == about
    printed = capsys.readouterr().out
    assert NAME in printed
    assert about in printed


@pytest.mark.parametrize("suffix", ["", ".yaml"])
def test_a_copy_lies_where_its_own_command_looks_for_it(tmp_path, monkeypatch, capsys, suffix):
    monkeypatch.chdir(tmp_path)
    assert main(["recipes", NAME + suffix]) == 0
    copy = tmp_path / "configs" / f"{NAME}.yaml"
    assert copy.read_bytes() == (CONFIGS / f"{NAME}.yaml").read_bytes()
    assert f"stvit-video train --config configs/{NAME}.yaml" in copy.read_text()
    expected = f"recipe copied; stvit-video train --config configs/{NAME}.yaml\n"
    assert capsys.readouterr().out == expected


def test_nothing_is_overwritten(tmp_path, capsys):
    copy = tmp_path / f"{NAME}.yaml"
    copy.parent.mkdir()
    copy.write_text("mine")
    assert main(["recipes", NAME, "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"stvit-video recipes: recipe {copy} exists already; give another --output or remove it\n"
    )
    assert copy.read_text() == "mine"


def test_an_unknown_recipe_is_an_error_with_the_nearest_name(tmp_path, capsys):
    assert main(["recipes", NAME[:-1], "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"stvit-video recipes: recipe ({NAME[:-1]}) is none of the {len(_configs())};"
        f" did you mean {NAME!r}? (stvit-video recipes lists all)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_installed_package_has_its_own_recipes(tmp_path, monkeypatch):
    package = tmp_path / "stvit_video"
    (package / "recipes").mkdir(parents=True)
    monkeypatch.setattr(recipes, "__file__", str(package / "settings" / "recipes.py"))
    assert recipes.recipe_folder() == package / "recipes"
    (package / "recipes").rmdir()
    assert recipes.recipe_folder() == tmp_path / "configs"


def test_listing_imports_no_torch():
    code = (
        "import sys; from stvit_video.cli import main; main(['recipes']);"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def _configs():
    return list(CONFIGS.glob("*/*.yaml"))
