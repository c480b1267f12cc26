"""A small run of the tool that measures large data sets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "measure_scale.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_measures_columns_and_objects(tmp_path):
    words = ["--rows", "2000", "--groups", "1x1", "2x1", "--items", "64", "--output", str(tmp_path)]
    subprocess.run([sys.executable, str(TOOL), *words], check=True, timeout=600)
    results = json.loads((tmp_path / "scale.json").read_text())["results"]
    assert [(r["kind"], r["num_ranks"], r["method"]) for r in results] == [
        ("columns", 1, "fork"),
        ("columns", 1, "spawn"),
        ("tuple", 1, "fork"),
        ("tuple", 1, "spawn"),
        ("columns", 2, "fork"),
    ]
    assert all(r["worker_mib"] > 1 and r["served_mib"] > r["worker_mib"] / 2 for r in results)
    table = (tmp_path / "scale.md").read_text()
    assert table.count("\n| 2,000 | ") == 5
    assert "each has served 64 items" in table
