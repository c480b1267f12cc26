"""tools/fuzz_serve.py: what it takes for a fault, and a few requests to a server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
from fuzz_serve import judge  # noqa: E402 the folder is known now


@pytest.mark.parametrize(
    ("status", "answer", "fault"),
    [
        (200, {"models": []}, ""),
        (200, {}, "an answer without models"),
        (422, {"error": "the video cannot be read: empty"}, ""),
        (500, {"error": "the process died"}, "status 500: the process died"),
        (422, {"error": "two\nlines"}, "told 'two\\nlines'"),
        (422, {"error": "/some/where: no"}, "told '/some/where: no'"),
        (413, {}, "told None"),
    ],
)
def test_what_is_a_fault(status, answer, fault):
    assert judge(status, answer) == fault


@pytest.mark.slow
def test_a_few_requests_of_each_kind_end_as_they_should(tmp_path):
    words = ["--num_cases", "20", "--output", str(tmp_path / "page.md")]
    run = subprocess.run(
        [sys.executable, str(TOOLS / "fuzz_serve.py"), *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    page = (tmp_path / "page.md").read_text()
    assert "| video.mp4 | 6 | " in page
    assert "| leaves | 2 | 0 | 0 | 2 | " in page
    assert "\n0 failed. Workers that died or took too long: none.\n" in page
