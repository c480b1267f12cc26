"""A worker that the system kills, as it does where memory runs out: one line, status 2, no hang."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
TINY = "--model.name demo_tiny --model.num_frames 2 --model.image_size 32 --augmentation.flip 0"


@pytest.fixture(scope="module")
def videos(class_folder_root, tmp_path_factory):
    """A manifest that nobody gets to the end of, and one of five videos."""
    paths = sorted(class_folder_root.rglob("*.mp4"))
    records = tuple(VideoRecord(path, int(path.parent.name == "waving")) for path in paths)
    folder = tmp_path_factory.mktemp("lists")
    names = ("pushing left", "waving")
    write_manifest(Manifest(records * 20_000, names), folder / "long.csv")
    write_manifest(Manifest(records, names), folder / "short.csv")
    return folder


@pytest.fixture(scope="module")
def run_dir(videos):
    """A run folder after some epochs, whose worker was killed, and what was printed."""
    arguments = [
        *TINY.split(),
        "--train.devices",
        "cpu",
        "--data.train",
        videos / "short.csv",
        "--train.epochs",
        10**6,
    ]
    run = videos / "run"
    return run, _kill_worker(["train", *arguments, "--output_dir", run], seen=run / "metrics.json")


def _kill_worker(arguments, *, seen=None):
    """Run a command, kill one of its two workers once a file is `seen`; return what it says."""
    command = [sys.executable, "-m", "stvit_video", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as run:
        try:
            while len(_children(run.pid)) < 2 or not (seen is None or seen.exists()):
                assert run.poll() is None, run.communicate()
                time.sleep(0.05)
            time.sleep(0.5)
            worker = _children(run.pid)[0]
            os.kill(worker, signal.SIGKILL)
            _, error = run.communicate(timeout=60)
        finally:
            run.kill()
    return run.returncode, error.replace(f"(pid {worker})", "(pid W)")


def _children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def _died(command):
    return re.compile(
        rf"stvit-video {command}: a process that reads videos \(pid W\) died( \(Killed\))?;"
        r" memory is the usual cause: lower num_workers \(2\)\n"
    )


@pytest.mark.slow
def test_a_training_ends_with_one_line_and_keeps_what_it_had(run_dir):
    run, (status, error) = run_dir
    assert _died("train").fullmatch(error), error
    assert status == 2
    path = list_checkpoints(run / "checkpoints")[0]
    assert torch.load(path, weights_only=True)["epoch"] >= 0
    assert not list(run.glob(".*"))


@pytest.mark.slow
def test_an_evaluation_ends_with_one_line(run_dir, videos):
    status, error = _kill_worker(
        ["evaluate", videos / "long.csv", "--checkpoint", run_dir[0], "--device", "cpu"]
    )
    assert _died("evaluate").fullmatch(error), error
    assert status == 2
