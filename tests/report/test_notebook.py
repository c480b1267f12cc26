import sys
from types import SimpleNamespace

import pytest
from rich.progress import Progress

from stvit_video.report import notebook, progress
from stvit_video.report.json_file import result_console
from stvit_video.report.terminal import say


@pytest.fixture
def cell(monkeypatch):
    """A cell that notes its outputs: each a list of what it showed, one after the other."""
    outputs = []

    def display(shown, *, display_id):
        assert display_id is True
        outputs.append([shown.data])
        return SimpleNamespace(update=lambda new: outputs[-1].append(new.data))

    monkeypatch.setattr("IPython.display.display", display)
    return outputs


def test_a_bar_and_its_lines_are_one_output_that_changes(cell):
    console = notebook.notebook_console()
    say(console, "output_dir runs/<b>")
    with Progress(console=console, auto_refresh=False) as bar:
        task = bar.add_task("training", total=3)
        for number in range(3):
            bar.advance(task)
            bar.refresh()
            if number == 1:
                say(console, "compiled")
    (shown,) = cell
    assert len(shown) > 3
    assert "33%" in shown[2]
    lines = shown[-1].removeprefix("<pre>").removesuffix("</pre>").split("\n")
    assert lines[:2] == ["output_dir runs/&lt;b&gt;", "compiled"]
    assert lines[2].startswith("training ━")
    assert "100%" in lines[2]
    assert len(lines) == 3


def test_bars_of_several_lines_replace_themselves(cell):
    with Progress(console=notebook.notebook_console(), auto_refresh=False) as bar:
        tasks = [bar.add_task(name, total=1) for name in ("one", "two")]
        bar.refresh()
        for task in tasks:
            bar.advance(task)
        bar.refresh()
    (shown,) = cell
    assert [line.split()[0] for line in shown[-1][5:].split("\n")] == ["one", "two"]
    assert shown[-1].count("100%") == 2


def test_only_a_kernel_is_a_notebook(monkeypatch):
    assert not notebook.in_notebook()
    assert not isinstance(result_console().file, notebook._CellOutput)
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert notebook.in_notebook()
    assert isinstance(result_console("-").file, notebook._CellOutput)


@pytest.mark.parametrize(("total", "bars"), [(3, 1), (1, 0), (None, 0)])
def test_a_bar_counts_the_videos_of_a_notebook(cell, total, bars, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    assert list(progress.notebook_bar(iter("abc"), "predicting", total=total)) == ["a", "b", "c"]
    assert len(cell) == bars
    if bars:
        assert "3/3" in cell[0][-1]


def test_there_is_no_bar_elsewhere(cell):
    assert list(progress.notebook_bar(iter("abc"), "predicting", total=3)) == ["a", "b", "c"]
    assert cell == []
