"""The damage of tools/fuzz_inputs.py, and what it takes for a fault."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
from fuzz_inputs import KINDS, _fault  # noqa: E402 the folder is known now
from mutations import MUTATIONS, mutate  # noqa: E402

CONTENT = b"path,label\na.mp4,1\nb.mp4,2\n"


def test_the_same_seed_does_the_same_damage_and_each_mutation_does_some():
    assert mutate(CONTENT, Random(3)) == mutate(CONTENT, Random(3))
    for change in set(MUTATIONS):
        assert any(change(CONTENT, Random(seed)) != CONTENT for seed in range(9)), change
        assert isinstance(change(b"", Random(1)), bytes)


@pytest.mark.parametrize(
    ("status", "text", "mebibytes", "fault"),
    [
        (0, "fine\n", 3.0, ""),
        (2, "stvit-video convert: no\n", 3.0, ""),
        (2, "", 3.0, "refused in 0 lines"),
        (2, "stvit-video a\nstvit-video b\n", 3.0, "refused in 2 lines"),
        (70, "", 3.0, "ended with status 70"),
        (-11, "", 3.0, "ended with status -11"),
        (0, "", 4000.0, "took 4000 MiB"),
        (1, "Traceback (most recent call last)", 3.0, "told a traceback"),
        (0, "a\u202eb", 3.0, "sent control characters to the terminal"),
        (0, "a\x07b", 3.0, "sent control characters to the terminal"),
    ],
)
def test_what_is_a_fault(status, text, mebibytes, fault):
    assert _fault(status, text, mebibytes) == fault


@pytest.mark.slow
def test_each_kind_ends_as_it_should(tmp_path):
    words = ["--num_cases", str(len(KINDS)), "--output", str(tmp_path / "page.md")]
    run = subprocess.run(
        [sys.executable, str(TOOLS / "fuzz_inputs.py"), *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    page = (tmp_path / "page.md").read_text()
    assert page.endswith("\n0 failed.\n")
    assert all(f"| {kind} | 1 | " in page for kind in KINDS)
