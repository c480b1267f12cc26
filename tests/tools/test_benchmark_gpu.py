"""The GPU script runs where little is installed, and every case that it names can be built."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
PROGRAM = """
import sys
for name in ("decord", "av", "jsonargparse", "fvcore", "lightning", "pytorchvideo", "rich"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import benchmark_gpu, gpu_cases
from stvit_video.measure.compare.words import build_word, find_model
import torch
cases = [case for group in gpu_cases.COMPARISONS.values() for one in group for case in one.cases]
cases += [*gpu_cases.PROFILED, *gpu_cases.CHECKED]
names = {case.model for case in cases}
for name in sorted(names):
    spec = find_model(name)
    if not name.startswith("hf:"):  # importing transformers takes longer than all the rest
        with torch.device("meta"):
            build_word(spec)
print(len(names))
"""


@pytest.mark.slow  # it builds every model of the tables
def test_it_imports_without_decoders_and_every_case_can_be_built():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(TOOLS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30
