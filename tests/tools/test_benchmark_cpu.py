"""A small run of the tool that times number formats on the CPU; docs/results holds a large one."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "benchmark_cpu.py"


@pytest.mark.slow  # it compiles
def test_every_model_has_a_row_a_number_format(tmp_path):
    pytest.importorskip("torchao")
    words = ["--models", "demo_tiny", "demo_tiny:4x2x2@2", "--rounds", "2"]
    subprocess.run([sys.executable, TOOL, *words, "--output", tmp_path], check=True, timeout=900)
    lines = (tmp_path / "cpu.md").read_text().splitlines()
    rows = [[cell.strip() for cell in x.strip("|").split("|")] for x in lines if x.startswith("| ")]
    assert [row[:2] for row in rows[2:]] == [
        [word, how]
        for word in words[1:3]
        for how in ("float32", "float32, compiled", "bfloat16, compiled", "int8, compiled")
    ]
    assert [row[6] for row in rows[2::4]] == ["1.00", "1.00"]
    assert float(rows[2][-1]) == 0 < float(rows[5][-1]) < 0.2
