"""Small runs of the tools that stress the decoders; docs/results holds the large ones."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def _run(name, *words):
    done = subprocess.run(
        [sys.executable, str(TOOLS / name), *words], capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow  # a tool over many files
def test_damaged_files_end_in_a_clean_error_or_in_frames(tmp_path):
    status, text, error = _run(
        "fuzz_decoders.py",
        *("--num_files", "72", "--backend", "pyav", "--output", str(tmp_path / "fuzz.md")),
    )
    assert (status, error) == (0, "")
    assert text.endswith("\n0 hung, crashed, raised another error, or were served wrong.\n\n")
    table = (tmp_path / "fuzz.md").read_text()
    for container in ("h264.mp4", "h264.mkv", "vp9.webm", "mpeg4.avi"):
        assert re.search(rf"^\| {container} \| 18 \|", table, re.MULTILINE)
    cut = re.search(r"^\| cut off \| 12 \|(.+)\|$", table, re.MULTILINE)
    assert cut is not None
    assert "| 12 | 0 of 0" in cut[1], "every file that was cut off is bad by the scan"


@pytest.mark.slow  # a tool over all backends
def test_wrong_frames_of_every_backend_are_counted(tmp_path):
    names = ("closed.mp4", "transposed.mp4", "fast_2000.mkv", "thumbnail_first.mp4")
    status, _, error = _run(
        "check_exactness.py",
        *("--num_clips", "3", "--kinds", *names, "--output", str(tmp_path / "table.md")),
    )
    assert (status, error) == (0, "")
    table = (tmp_path / "table.md").read_text()
    for name in names:
        decord = "error" if name == "fast_2000.mkv" else "0"
        assert re.search(rf"^\| {name} \| \w+ \| 0 \| 0 \| {decord} \|", table, re.MULTILINE)


def test_many_opens_leave_nothing_behind():
    backends = ("--backends", "auto", "pyav")
    status, text, error = _run(
        "open_many_videos.py", "--num_good", "150", "--num_bad", "100", *backends
    )
    assert (status, error) == (0, ""), text
    assert text.count("\n| ") == 1 + 2 * 2
