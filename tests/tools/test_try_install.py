"""The parts of the trial installation that need no package index; CI runs the whole of it."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("try_install", TOOLS / "try_install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_that_fails_names_itself_and_shows_what_it_printed(tool, tmp_path):
    code = "import sys; print('no frames'); sys.exit(3)"
    with pytest.raises(tool.StepError) as caught:
        tool.run("train with python3.19", [sys.executable, "-c", code], tmp_path)
    assert caught.value.args == ("train with python3.19 failed with status 3", "no frames\n")


def test_a_step_runs_without_the_checkout_and_its_warnings_are_shown(
    tool, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PYTHONPATH", str(TOOLS))
    code = "import os; print('FutureWarning: soon', os.getcwd(), os.environ.get('PYTHONPATH'))"
    said = tool.run("predict", [sys.executable, "-c", code], tmp_path)
    assert said == f"FutureWarning: soon {tmp_path} None\n"
    assert capsys.readouterr().out.splitlines()[1].strip() == said.strip()


def test_only_pythons_that_run_and_are_new_enough_are_found(tool, tmp_path, monkeypatch):
    for name, answer in {
        "python3.10": "3 10 2 final",
        "python3.11": "3 11 4 final",
        "python3.13": "3 13 0 final",
        "python3.14": "3 14 0 candidate",
        "python3.11-config": "3 11 9 final",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {answer}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python3.12").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "python3.12").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    assert tool.python_versions() == {
        (3, 11, 4): str(tmp_path / "python3.11"),
        (3, 13, 0): str(tmp_path / "python3.13"),
    }
