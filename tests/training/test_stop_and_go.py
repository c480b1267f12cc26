"""A training that is stopped, however, ends where an uninterrupted one does."""

import csv
import dataclasses
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import isfinite
from typing import get_args

import pytest
import torch
import yaml
from rich.console import Console

from stvit_video.cli import main
from stvit_video.datasets.manifest import Manifest, read_manifest, write_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.errors import CheckpointError, ConfigError, TrainingError
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, Strategy, TrainConfig
from stvit_video.training.checkpoints import StopSignals, list_checkpoints
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.run import run_training

EVERYTHING = AugmentationConfig(
    crop="random_resized",
    flip=0.0,
    color_jitter=0.3,
    rand_augment="rand-m7-n2-mstd0.5-inc1",
    erase=0.5,
    mixup=0.8,
    cutmix=1.0,
    label_smoothing=0.1,
)
EVERY_STEP = 1e-9


@pytest.fixture(scope="module")
def manifest(class_folder_root, tmp_path_factory):
    """A list of 15 videos, so that an epoch has five steps of three."""
    paths = sorted(class_folder_root.rglob("*.mp4"))
    records = tuple(VideoRecord(path, int(path.parent.name == "waving")) for path in paths)
    path = tmp_path_factory.mktemp("list") / "fifteen.csv"
    write_manifest(Manifest(records * 3, ("pushing left", "waving")), path)
    return path


def settings(manifest, *, num_workers=0, lr=1e-3, **train):
    return RunConfig(
        model=ModelConfig(name="demo_tiny", num_frames=2, image_size=32, drop_path=0.5),
        data=DataConfig(train=manifest, val=manifest, num_workers=num_workers),
        augmentation=EVERYTHING,
        optimizer=OptimizerConfig(lr=lr, layer_decay=0.8, clip_grad_norm=1.0),
        train=TrainConfig(
            **({"devices": "cpu", "epochs": 3, "batch_size": 3, "seed": 4} | train),
        ),
    )


def train(run, run_dir):
    """Train; return what was printed."""
    console = Console(file=io.StringIO(), width=1000)
    run_training(run, run_dir, console=console, label="run")
    return console.file.getvalue()


def outcome(run_dir):
    """Return weights, moments and the loss curve of a run."""
    state = torch.load(list_checkpoints(run_dir / "checkpoints")[0], weights_only=True)
    epochs = json.loads((run_dir / "metrics.json").read_text())["epochs"]
    curve = [(e["epoch"], e["step"], e["lr"], e["train_loss"], e["val_top1"]) for e in epochs]
    return state["state_dict"], state["optimizer_states"], curve


def rows_of(run_dir):
    return list(csv.reader((run_dir / "steps.csv").read_text().splitlines()))


def assert_same(run_dir, other):
    torch.testing.assert_close(outcome(run_dir)[:2], outcome(other)[:2], rtol=0, atol=0)
    assert outcome(run_dir)[2] == outcome(other)[2]


@pytest.fixture
def crash(monkeypatch):
    """Make the training fail at its n-th step, counted from the start of the process."""

    class CrashError(Exception):
        pass

    step = VideoClassifier.training_step

    def at(number):
        left = iter(range(number))

        def training_step(module, batch, batch_index):
            if next(left, None) is None:
                raise CrashError
            return step(module, batch, batch_index)

        monkeypatch.setattr(VideoClassifier, "training_step", training_step)
        return CrashError

    return at


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_that_dies_again_and_again_ends_as_one_that_does_not(
    manifest, tmp_path, crash, num_workers
):
    average = {"ema_decay": 0.9, "log_steps": 2}
    run = settings(manifest, num_workers=num_workers, checkpoint_minutes=EVERY_STEP, **average)
    train(settings(manifest, **average), tmp_path / "whole")
    for number in (1, 3, 4, 2, 100):  # within an epoch and at its ends
        error = crash(number)
        try:
            train(run, tmp_path / "parts")
        except error:
            continue
    assert_same(tmp_path / "parts", tmp_path / "whole")
    steps = [[row[:4] for row in rows_of(tmp_path / part)] for part in ("parts", "whole")]
    assert steps[0] == steps[1]  # epoch, step, loss, learning rate
    speeds = [float(row[5]) for row in rows_of(tmp_path / "parts")[1:] if row[5]]
    assert min(speeds) > 0.1  # clips a second, since this process took it up
    assert [p.name for p in list_checkpoints(tmp_path / "parts" / "checkpoints")] == [
        *("step_00000015.ckpt", "step_00000014.ckpt"),
    ]


def test_gradients_that_are_added_up_are_not_torn_apart(manifest, tmp_path, crash):
    run = settings(manifest, accumulate_steps=2, checkpoint_minutes=EVERY_STEP)
    train(run, tmp_path / "whole")
    error = crash(8)  # amid the second step of the second epoch
    with pytest.raises(error):
        train(run, tmp_path / "parts")
    crash(100)
    assert "step_00000004.ckpt" in train(run, tmp_path / "parts")
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_another_size_of_batch_goes_on_behind_the_videos_that_were_seen(
    manifest, tmp_path, crash, monkeypatch
):
    error = crash(7)  # six of the second epoch's fifteen were seen
    with pytest.raises(error):
        train(settings(manifest, checkpoint_minutes=EVERY_STEP), tmp_path)
    crash(100)
    seen = []
    step = VideoClassifier.training_step

    def note(module, batch, batch_index):
        rates = module.trainer.optimizers[0].param_groups
        loss = step(module, batch, batch_index)
        seen.append((module.current_epoch, len(batch.label), max(g["lr"] for g in rates)))
        return loss

    monkeypatch.setattr(VideoClassifier, "training_step", note)
    text = train(settings(manifest, batch_size=4, epochs=4, lr=2e-3), tmp_path)
    assert text.splitlines()[0] == (
        f"going on from {tmp_path}/checkpoints/step_00000007.ckpt, with optimizer.lr (0.002, it was"
        " 0.001), train.batch_size (4, it was 3), train.checkpoint_minutes (10.0, it was 1e-09),"
        " train.epochs (4, it was 3)"
    )
    assert [(epoch, size) for epoch, size, _ in seen] == [(1, 4)] * 2 + [(2, 4)] * 3 + [(3, 4)] * 3
    assert max(rate for *_, rate in seen) == pytest.approx(2e-3, rel=0.02)


@pytest.mark.parametrize("val", [True, False])
def test_a_batch_that_is_larger_than_what_is_left_of_an_epoch_begins_the_next(
    manifest, tmp_path, crash, monkeypatch, val
):
    error = crash(9)  # twelve of the second epoch's fifteen were seen
    run = settings(manifest, checkpoint_minutes=EVERY_STEP)
    larger = settings(manifest, batch_size=4)
    if not val:
        run, larger = (replace(r, data=replace(r.data, val=None)) for r in (run, larger))
    with pytest.raises(error):
        train(run, tmp_path)
    crash(100)
    seen = []
    step = VideoClassifier.training_step

    def note(module, batch, batch_index):
        seen.append((module.current_epoch, len(batch.label)))
        return step(module, batch, batch_index)

    monkeypatch.setattr(VideoClassifier, "training_step", note)
    train(larger, tmp_path)
    assert seen == [(2, 4)] * 3
    epochs = json.loads((tmp_path / "metrics.json").read_text())["epochs"]
    assert [(e["epoch"], e["step"]) for e in epochs] == [(1, 5), (2, 9), (3, 12)]
    assert all(isfinite(e["train_loss"]) for e in epochs)


def test_a_finished_run_is_left_as_it_is(manifest, tmp_path):
    run = settings(manifest, epochs=1)
    train(run, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    train(run, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"model": {"semantic": "1x2x2@2", "drop_path": 0.1}},
            "model.drop_path (0.1, it was 0.5), model.semantic (1x2x2@2, it was None) cannot",
        ),
        ({"data": {"sampling": "segments"}}, "data.sampling (segments, it was dense) cannot"),
        ({"train": {"seed": 5}}, "train.seed (5, it was 4) cannot"),
        ({"optimizer": {"layer_decay": None}}, "optimizer.layer_decay (None, it was 0.8) cannot"),
    ],
)
def test_what_makes_it_another_run_is_refused_before_anything_is_written(
    manifest, tmp_path, change, text
):
    run = settings(manifest, epochs=1)
    train(run, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sections = {
        name: dataclasses.replace(getattr(run, name), **values) for name, values in change.items()
    }
    with pytest.raises(ConfigError) as caught:
        train(dataclasses.replace(run, **sections), tmp_path)
    assert str(caught.value) == (
        f"{text} change within the run of {tmp_path}; go on with its settings or choose another"
        " output_dir"
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_a_damaged_checkpoint_is_passed_over_with_a_line(manifest, tmp_path):
    run = settings(manifest, epochs=2)
    train(run, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    newest, before = list_checkpoints(tmp_path / "parts" / "checkpoints")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight
    newest.write_bytes(content)
    lines = train(run, tmp_path / "parts").splitlines()
    assert sum("cannot be read" in line for line in lines) == 1
    assert lines[0].startswith(f"{newest} cannot be read (")
    assert lines[0].endswith(f"); {before.name} is taken instead")
    assert lines[1] == f"going on from {before}"
    assert_same(tmp_path / "parts", tmp_path / "whole")
    for path in list_checkpoints(tmp_path / "parts" / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="nor one before it; start again in another output_"):
        train(run, tmp_path / "parts")


def test_a_loss_that_is_no_number_stops_at_its_step(manifest, tmp_path, monkeypatch):
    def break_weights(module, batch_index):
        if (module.current_epoch, batch_index) == (1, 2):
            next(module.model.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(VideoClassifier, "_set_rates", break_weights)
    with pytest.raises(TrainingError) as caught:
        train(settings(manifest), tmp_path)
    assert re.fullmatch(
        r"the loss is nan at step 8 \(epoch 2\), of ([^,]+\.mp4, ){0,2}[^,]+\.mp4; lower"
        r" optimizer\.lr, or set optimizer\.clip_grad_norm: the same command goes on from the last"
        r" checkpoint",
        str(caught.value),
    )
    (kept,) = list_checkpoints(tmp_path / "checkpoints")
    assert kept.name == "step_00000005.ckpt"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_a_run_with_a_checkpoint_a_line_and_its_status(
    manifest, tmp_path, monkeypatch, capsys, number, status
):
    step = VideoClassifier.training_step

    def send(module, batch, batch_index):
        if (module.current_epoch, batch_index) == (1, 1):
            os.kill(os.getpid(), number)
        return step(module, batch, batch_index)

    run = settings(manifest)
    train(run, tmp_path / "whole")
    config, arguments = tmp_path / "run.yaml", ["--output_dir", str(tmp_path / "parts")]
    config.write_text((tmp_path / "whole" / "config.yaml").read_text())
    monkeypatch.setattr(VideoClassifier, "training_step", send)
    assert main(["train", "--config", str(config), *arguments]) == status
    kept = tmp_path / "parts" / "checkpoints" / "step_00000007.ckpt"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"stvit-video train: stopped; {kept} holds 1 of 3 epochs: the same command goes on from"
        " there"
    )
    monkeypatch.setattr(VideoClassifier, "training_step", step)
    assert main(["train", "--config", str(config), *arguments]) == 0
    assert_same(tmp_path / "parts", tmp_path / "whole")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 143, marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_the_workers_too_ends_a_run_as_well(manifest, tmp_path, number, status):
    train(settings(manifest, num_workers=2, epochs=1), tmp_path / "one")
    config = yaml.safe_load((tmp_path / "one" / "config.yaml").read_text())
    config["train"] |= {"epochs": 10_000}
    path, run_dir = tmp_path / "run.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "stvit_video", "train", "--config", path]
    with subprocess.Popen(
        list(map(str, [*command, "--output_dir", run_dir])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while process.poll() is None and _newest(run_dir / "checkpoints") < 5:
            time.sleep(0.02)
        os.killpg(process.pid, number)
        output, error = process.communicate(timeout=60)
    kept = list_checkpoints(run_dir / "checkpoints")[0]
    assert (process.returncode, output.count("stopping after this step")) == (status, 1), error
    assert re.fullmatch(
        rf"stvit-video train: stopped; {kept} holds \d+ of 10000 epochs: the same command goes on"
        r" from there\n",
        error,
    )


@pytest.mark.parametrize("what", ["model.safetensors", "checkpoints/step_00000050.ckpt"])
def test_a_new_run_is_not_begun_among_the_files_of_another(manifest, tmp_path, what):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / what).touch()
    with pytest.raises(ConfigError) as caught:
        train(settings(manifest, resume=False), tmp_path)
    held = "a model" if what.startswith("model") else "checkpoints"
    assert str(caught.value) == (f"output_dir ({tmp_path}) already holds {held}; choose another")
    assert not (tmp_path / "config.yaml").exists()


@pytest.mark.slow  # 20 starts of a process
def test_a_process_that_is_killed_at_any_step_loses_nothing(manifest, tmp_path):
    run = settings(manifest, num_workers=1, epochs=12, checkpoint_minutes=EVERY_STEP)
    train(run, tmp_path / "whole")
    arguments = ["--config", tmp_path / "whole" / "config.yaml", "--output_dir", tmp_path / "parts"]
    command = [sys.executable, "-m", "stvit_video", "train", *map(str, arguments)]
    draw = random.Random(0)
    folder = tmp_path / "parts" / "checkpoints"
    for _ in range(20):
        until = _newest(folder) + draw.randrange(1, 5)
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            while process.poll() is None and _newest(folder) < until:
                time.sleep(0.002)
            process.kill()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert_same(tmp_path / "parts", tmp_path / "whole")


def _newest(folder):
    found = list_checkpoints(folder)
    return int(found[0].stem.removeprefix("step_")) if found else 0


@pytest.mark.slow  # torchrun starts two processes
@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_two_processes_train_as_one_stop_together_and_one_goes_on(manifest, tmp_path, strategy):
    plain = AugmentationConfig(crop="center", flip=0.0)
    run = dataclasses.replace(
        settings(manifest, epochs=8, batch_size=6, lr=1e-4, ema_decay=0.9),
        augmentation=plain,
        model=ModelConfig(name="demo_tiny", num_frames=2, image_size=32),
    )
    few = read_manifest(manifest)  # of which the second process gets one less: a batch less
    write_manifest(dataclasses.replace(few, records=few.records[:7]), tmp_path / "seven.csv")
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, val=tmp_path / "seven.csv"))
    train(run, tmp_path / "whole")
    config = yaml.safe_load((tmp_path / "whole" / "config.yaml").read_text())
    config["train"] |= {"batch_size": 3, "strategy": strategy}
    path, folder = tmp_path / "run.yaml", tmp_path / "parts" / "checkpoints"
    path.write_text(yaml.safe_dump(config))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"),
        *("-m", "stvit_video", "train", "--config", path, "--output_dir", tmp_path / "parts"),
        *("--train.checkpoint_minutes", EVERY_STEP),
    ]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and _newest(folder) < 3:
            time.sleep(0.002)
        process.terminate()
        _, error = process.communicate(timeout=60)
    kept = _newest(folder)
    assert error.count("stopped; ") == 1, error
    assert f"{list_checkpoints(folder)[0]} holds" in error
    assert 3 <= kept < 16
    assert "Warning" not in error
    lines = train(run, tmp_path / "parts").splitlines()
    assert lines[0].startswith(
        f"going on from {folder}/step_{kept:08d}.ckpt, with train.batch_size"
    )
    (one, _, curve), (two, _, expected) = outcome(tmp_path / "parts"), outcome(tmp_path / "whole")
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    assert [epoch[:3] for epoch in curve] == [epoch[:3] for epoch in expected]
    losses = [[epoch[3] for epoch in epochs] for epochs in (curve, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def _launch_nodes(how, words):
    """Start a process for each of two nodes, as torchrun or SLURM does."""
    torchrun = [*(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2")]
    torchrun += ["--nproc-per-node", "1", "--master-port", "29541", "--node-rank"]
    nodes = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NUM_NODES": "2"}
    nodes |= {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "train", "SLURM_LOCALID": "0"}
    nodes |= {"SLURM_NODELIST": "127.0.0.1", "SLURM_JOB_NODELIST": "127.0.0.1"}
    for number in map(str, range(2)):
        command, env = [*torchrun, number], dict(os.environ)
        if how == "slurm":
            command = [sys.executable]
            env |= nodes | {"SLURM_PROCID": number, "SLURM_NODEID": number}
        command += ["-m", "stvit_video", "train", *words, "--train.num_nodes", "2"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        yield subprocess.Popen(command, env=env, text=True, **pipes)


@pytest.mark.slow  # both start two processes
@pytest.mark.parametrize("how", ["torchrun", "slurm"])
def test_two_nodes_train_as_one_process_does(manifest, tmp_path, how):
    plain = AugmentationConfig(crop="center", flip=0.0)
    run = dataclasses.replace(
        settings(manifest, epochs=2, batch_size=6, lr=1e-4),
        augmentation=plain,
        model=ModelConfig(name="demo_tiny", num_frames=2, image_size=32),
    )
    train(run, tmp_path / "whole")
    config = yaml.safe_load((tmp_path / "whole" / "config.yaml").read_text())
    config["train"] |= {"batch_size": 3}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    words = ["--config", str(tmp_path / "run.yaml"), "--output_dir", str(tmp_path / "parts")]
    processes = list(_launch_nodes(how, words))
    first, second = (process.communicate(timeout=120)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0], first + second
    assert "2 epochs in" in " ".join(first.split())
    assert "epoch" not in second
    (one, _, curve), (two, _, expected) = outcome(tmp_path / "parts"), outcome(tmp_path / "whole")
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    losses = [[epoch[3] for epoch in epochs] for epochs in (curve, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_signal_in_validation_ends_a_run_at_its_last_checkpoint(
    manifest, tmp_path, monkeypatch, capsys
):
    step = VideoClassifier.validation_step

    def send(module, batch, batch_index):
        if module.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        step(module, batch, batch_index)

    train(settings(manifest, epochs=1), tmp_path / "one")
    config = yaml.safe_load((tmp_path / "one" / "config.yaml").read_text())
    config["train"] |= {"epochs": 3}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(VideoClassifier, "validation_step", send)
    assert main(["train", "--config", str(path), "--output_dir", str(tmp_path / "run")]) == 143
    assert "step_00000005.ckpt holds 1 of 3 epochs" in capsys.readouterr().err


def test_a_run_that_dies_in_validation_validates_and_reports_that_epoch_again(
    manifest, tmp_path, monkeypatch
):
    class CrashError(Exception):
        pass

    def die(module, batch, batch_index):
        raise CrashError

    run = settings(manifest, epochs=2, checkpoint_minutes=EVERY_STEP)
    train(run, tmp_path / "whole")
    validate = VideoClassifier.validation_step
    monkeypatch.setattr(VideoClassifier, "validation_step", die)
    with pytest.raises(CrashError):
        train(run, tmp_path / "parts")
    monkeypatch.setattr(VideoClassifier, "validation_step", validate)
    train(run, tmp_path / "parts")
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_a_second_ctrl_c_ends_a_program_at_once():
    told = []
    with StopSignals(told.append).listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert told == ["SIGINT: stopping after this step"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
