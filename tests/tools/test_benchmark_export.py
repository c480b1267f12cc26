"""A small run of the tool that times exported files; docs/results holds a large one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "benchmark_export.py"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_every_model_has_a_row_a_runtime(tmp_path):
    words = ["--models", "demo_tiny", "demo_tiny:4x2x2@2", "--batch_sizes", "2", "--rounds", "2"]
    subprocess.run([sys.executable, TOOL, *words, "--output", tmp_path], check=True, timeout=900)
    page = (tmp_path / "export_cpu.md").read_text()
    for word in ("demo_tiny", "demo_tiny:4x2x2@2"):
        for how in ("eager", "torch.compile", "ONNX Runtime", "AOTInductor"):
            assert f"\n| {word} | {how} | 2 | " in page
    assert page.count(" 1.00 | 1.00-1.00 | 0e+00 |\n") == 1
