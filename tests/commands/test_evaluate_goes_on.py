"""`evaluate --output_dir`: killed, stopped or shared by torchrun, it ends with the same scores."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stvit_video.cli import main
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import create_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
NAMES = ("pushing left", "waving")


@pytest.fixture(scope="module")
def work(class_folder_root, tmp_path_factory):
    """A folder with a model and a list of 500 videos, and the scores of a whole evaluation."""
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(3)
    model = create_model("demo_tiny", num_classes=2, num_frames=2, image_size=32)
    write_checkpoint(model, folder / "model", labels=NAMES)
    paths = sorted(class_folder_root.rglob("*.mp4"))
    records = [VideoRecord(path, int(path.parent.name == "waving")) for path in paths]
    write_manifest(Manifest(records * 100, NAMES), folder / "list.csv")
    assert main(command(folder, "whole")) == 0
    return folder


def command(folder, name):
    arguments = [
        "evaluate",
        folder / "list.csv",
        "--checkpoint",
        folder / "model",
        "--output_dir",
        folder / name,
    ]
    how = ["--device", "cpu", "--num_workers", "1", "--num_clips", "2", "--batch_size", "8"]
    return [*map(str, arguments), *how]


def start(arguments, *, launcher=("-m", "stvit_video")):
    return subprocess.Popen(
        [sys.executable, *launcher, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


def wait_for_scores(run, folder):
    while not any(path.stat().st_size for path in (folder / "parts").glob("*")):
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)


def assert_whole(work, name):
    for file in ("views.npz", "videos.npz", "videos.csv", "confusion.csv"):
        assert (work / name / file).read_bytes() == (work / "whole" / file).read_bytes()


def scored_before(capsys):
    (found,) = re.findall(r"(\d+) of 500 videos were scored before", capsys.readouterr().out)
    return int(found)


def test_what_was_scored_before_a_kill_is_kept_and_the_same_command_goes_on(work, capsys):
    with start(command(work, "killed")) as run:
        wait_for_scores(run, work / "killed")
        run.kill()
    assert {path.name for path in (work / "killed").iterdir()} <= {
        *("evaluation.json", "parts", ".lock")
    }
    assert main(command(work, "killed")) == 0
    assert 0 < scored_before(capsys) < 500
    assert_whole(work, "killed")
    assert not (work / "killed" / ".lock").exists()


def test_a_signal_ends_it_with_a_line_that_says_how_to_go_on(work, capsys):
    with start(command(work, "stopped")) as run:
        wait_for_scores(run, work / "stopped")
        run.terminate()
        _, error = run.communicate(timeout=60)
    assert (run.returncode, error) == (
        143,
        f"stvit-video evaluate: stopped; {work / 'stopped'} keeps what was scored: the same command"
        " goes on\n",
    )
    assert main(command(work, "stopped")) == 0
    assert 0 < scored_before(capsys) < 500
    assert_whole(work, "stopped")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_that_was_scored(work, capsys):
    with start(command(work, "worker")) as run:
        wait_for_scores(run, work / "worker")
        (worker,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        _, error = run.communicate(timeout=60)
    assert run.returncode == 2
    assert error.startswith("stvit-video evaluate: a process that reads videos (pid ")
    assert error.endswith(f"; {work / 'worker'} keeps what was scored: the same command goes on\n")
    assert error.count("\n") == 1
    assert main(command(work, "worker")) == 0
    assert 0 < scored_before(capsys) < 500
    assert_whole(work, "worker")


@pytest.mark.slow
def test_torchrun_shares_it_and_the_first_process_alone_tells(work):
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "stvit_video")
    to_json = ["--json", str(work / "report.json")]
    with start([*command(work, "shared"), *to_json], launcher=launcher) as run:
        output, error = run.communicate(timeout=120)
    assert run.returncode == 0, error
    assert output.count("on 500 of 500 videos") == 1
    assert json.loads((work / "report.json").read_text())["device"] == "2 x cpu"
    assert len(list((work / "shared" / "parts").iterdir())) == 2
    assert_whole(work, "shared")


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_all_that_torchrun_started(work):
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "stvit_video")
    arguments = command(work, "whole")
    arguments[arguments.index("--num_clips") + 1] = "3"
    with start(arguments, launcher=launcher) as run:
        _, error = run.communicate(timeout=120)
    assert run.returncode != 0
    assert error.count("stvit-video evaluate: ") == 1
    assert "its num_clips was 2, not 3; choose another folder" in error


def test_scores_of_another_evaluation_are_refused_in_one_line(work, capsys):
    arguments = command(work, "whole")
    arguments[arguments.index("--num_clips") + 1] = "3"
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"stvit-video evaluate: output_dir ({work / 'whole'}) holds scores of another evaluation:"
        " its num_clips was 2, not 3; choose another folder\n"
    )
