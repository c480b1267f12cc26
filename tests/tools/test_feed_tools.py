"""The tools that time feeding run, on the CPU, and write what they say."""

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def manifest(tmp_path, write_numbered):
    """Two videos in a list."""
    for number in range(2):
        write_numbered(tmp_path / f"{number}.mp4", 20)
    path = tmp_path / "videos.csv"
    path.write_text("path,label\n0.mp4,a\n1.mp4,b\n")
    return path


@pytest.fixture
def run_tool(monkeypatch, tmp_path):
    """Run the main function of a tool; return the row of its page for a model, by column."""
    monkeypatch.syspath_prepend(TOOLS)

    def run(module, page, *words):
        monkeypatch.setattr(
            sys, "argv", [module.__file__, *map(str, words), "--output", str(tmp_path)]
        )
        module.main()
        lines = (tmp_path / page).read_text().splitlines()
        assert lines[2] == f"Written by `tools/{module.__name__}.py`; do not edit."
        head, _, *rows = ([c.strip() for c in x.strip("|").split("|")] for x in lines if "|" in x)
        return [dict(zip(head, row, strict=True)) for row in rows], lines[-1]

    return run


def test_evaluation_is_timed_beside_its_parts(run_tool, manifest):
    import benchmark_evaluation

    words = ("--models", "demo_tiny", "--videos", "18", "--rounds", "1", "--workers", "1")
    rows, note = run_tool(benchmark_evaluation, "feed_evaluation.md", manifest, *words)
    assert [(row["model"], row["videos"]) for row in rows] == [
        ("demo_tiny", "64"),
        ("demo_tiny", "18"),
    ]
    for row in rows:
        assert 0 < float(row["share of the slower"]) < 3
        assert 0 < float(row["its share"]) < 3
        assert float(row["seconds"]) > 0
        assert 0 <= float(row["waiting"]) <= 1
    assert " 1 workers, batches of 16, one view a video, " in note
    assert " in the file cache. torch " in note


@pytest.mark.slow
def test_the_start_of_training_is_timed_to_the_first_step(run_tool, manifest):
    import measure_start

    words = ("--models", "demo_tiny", "--batch_size", "4", "--workers", "1", "--rounds", "1")
    rows, _ = run_tool(measure_start, "start.md", manifest, *words, "--device", "cpu")
    (row,) = rows
    assert 1 < float(row["later, s"]) <= float(row["slowest, s"]) < 120


def test_the_spread_is_half_of_the_range_in_percent_of_the_median(run_tool):
    import result_page

    assert result_page.spread_percent([10.0, 8.0, 11.0]) == pytest.approx(15)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
@pytest.mark.filterwarnings("ignore:`isinstance.treespec")
def test_training_steps_are_timed_beside_the_bare_step(run_tool):
    import benchmark_training

    words = ("--models", "demo_tiny", "--steps", "2", "--epochs", "2", "--code", "abc")
    rows, note = run_tool(benchmark_training, "training_speed.md", *words)
    assert [(row["how"], row["code"]) for row in rows] == [
        ("eager", "abc"),
        ("bare compiled step", "abc"),
    ]
    speeds = [float(row["clips/s"]) for row in rows]
    assert float(rows[0]["of bare"]) == pytest.approx(speeds[0] / speeds[1], abs=0.1)
    assert " cores, torch " in note
    rows, _ = run_tool(benchmark_training, "training_speed.md", *words[:-1], "d", "--how", "eager")
    assert [row["code"] for row in rows] == ["d", "d"]  # a row is replaced, not added
