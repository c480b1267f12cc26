"""The notebooks run from the first cell to the last, and are committed with what they show."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def outputs_of(notebook):
    """Source of each cell with code -> its outputs; what libraries say on standard error apart."""
    return {
        cell.source: [output for output in cell.outputs if output.get("name") != "stderr"]
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def kinds_of(outputs):
    """What a reader sees of a cell: kind of each output and of what it holds."""
    return [(output.output_type, sorted(output.get("data", ()))) for output in outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_runs_and_shows_what_it_is_committed_with(path, tmp_path):
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(
        fresh, timeout=300, kernel_name="python3", resources=where, coalesce_streams=True
    ).execute()
    before, after = outputs_of(committed), outputs_of(fresh)
    assert before.keys() == after.keys()
    for source in before:
        assert kinds_of(after[source]) == kinds_of(before[source]), source
    bars = [
        output.data["text/html"]
        for outputs in after.values()
        for output in outputs
        if "<pre>" in output.get("data", {}).get("text/html", "")
    ]
    labels = [bar.removesuffix("</pre>").splitlines()[-1].split()[0] for bar in bars]
    if path.stem == "classify_and_look":  # one output for each bar, however often it moved
        assert labels == ["demo_tiny", "<pre>evaluating", "<pre>predicting"]
    assert all(re.search(r" (\d+)/\1 ", bar) for bar in bars)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_small_and_of_no_machine(path):
    text = path.read_text()
    assert len(text) < 300_000
    assert "stderr" not in text
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert all(outputs_of(notebook).values())


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["classify_and_look", "make_it_fast"]
