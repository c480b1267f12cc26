"""Features are kept when `probe` is stopped, and shared among the processes of torchrun."""

import sys

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from stvit_video.cli import main
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.registry import create_model
from stvit_video.probing.features import FeatureCache
from stvit_video.probing.run import run_probing
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.probe import ProbeConfig, ProbeRun
from tests.commands.test_evaluate_goes_on import scored_before, start, wait_for_scores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sends signals")
NAMES = ("pushing left", "waving")


@pytest.fixture(scope="module")
def work(class_folder_root, tmp_path_factory):
    """A folder with a model and lists of 500 and of 5 videos, and the probes of a whole run."""
    folder = tmp_path_factory.mktemp("probing")
    torch.manual_seed(3)
    model = create_model("demo_tiny", num_classes=2, num_frames=2, image_size=32)
    write_checkpoint(model, folder / "model", labels=NAMES)
    paths = sorted(class_folder_root.rglob("*.mp4"))
    records = [VideoRecord(path, int(path.parent.name == "waving")) for path in paths]
    write_manifest(Manifest(records * 100, NAMES), folder / "train.csv")
    write_manifest(Manifest(records, NAMES), folder / "val.csv")
    assert main(command(folder, "whole")) == 0
    return folder


def command(folder, name):
    model = ["--model.name", "demo_tiny", "--model.pretrained", folder / "model"]
    data = ["--data.train", folder / "train.csv", "--data.val", folder / "val.csv"]
    how = ["--device", "cpu", "--data.num_workers", "1", "--batch_size", "8"]
    probe = ["--probe.epochs", "2", "--probe.lrs", "[0.01]", "--probe.weight_decays", "[0.1]"]
    arguments = ["probe", *model, *data, *how, *probe, "--output_dir", folder / name]
    return [str(argument) for argument in arguments]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.slow  # `evaluate` is tested so, by the same code
def test_a_signal_keeps_the_features_and_the_same_command_goes_on(work, capsys):
    features = work / "stopped" / "features" / "train"
    with start(command(work, "stopped")) as run:
        wait_for_scores(run, features)
        run.terminate()
        _, error = run.communicate(timeout=60)
    assert (run.returncode, error) == (
        143,
        f"stvit-video probe: stopped; {features} keeps what was scored: the same command goes on\n",
    )
    capsys.readouterr()
    assert main(command(work, "stopped")) == 0
    assert 0 < scored_before(capsys) < 500
    assert weights(work / "stopped") == weights(work / "whole")


@pytest.mark.slow  # `evaluate` is tested with several processes, by the same code
def test_several_devices_share_the_features(work):
    whole = yaml.safe_load((work / "whole" / "config.yaml").read_text())
    run = ProbeRun(
        model=ModelConfig(**whole["model"]),
        data=DataConfig(**whole["data"]),
        probe=ProbeConfig(epochs=2, lrs=(0.01,), weight_decays=(0.1,)),
    )
    cache = FeatureCache(
        path=work / "devices" / "features",
        data=run.data,
        views=run.views,
        devices=[torch.device("cpu")] * 2,
        batch_size=8,
        console=Console(quiet=True),
    )
    report = run_probing(run, work / "devices", cache)
    assert (report.num_videos, report.failed) == (500, ())
    assert len(list((cache.path / "train" / "parts").iterdir())) == 2
    assert weights(work / "devices") == weights(work / "whole")


@pytest.mark.slow
def test_torchrun_shares_the_features_and_the_first_process_trains(work):
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "stvit_video")
    with start(command(work, "shared"), launcher=launcher) as run:
        output, error = run.communicate(timeout=120)
    assert run.returncode == 0, error
    assert output.count("best: lr 0.01, weight decay 0.1: top-1") == 1
    logs = sorted((work / "shared" / "features" / "train" / "parts").iterdir())
    assert len(logs) == 2
    assert all(np.fromfile(log, np.uint8).size for log in logs)
    assert weights(work / "shared") == weights(work / "whole")
