"""The file that a run goes on from: whole or as before, and looked at before it is used."""

import os
import resource
import stat

import pytest
import torch
from torch import nn

from stvit_video.errors import CheckpointError, ConfigError, WriteError
from stvit_video.training.resume import WholeCheckpoints, check_resume, tell_kept

STATE = {
    "state_dict": nn.Linear(3, 2).state_dict(),
    "callbacks": {"EpochLog": {"epochs": [{}] * 5}},
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(STATE, path)
    return path


def test_the_file_of_its_own_run_is_taken(path):
    check_resume(path, nn.Linear(3, 2), epochs=5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda path: path.unlink(), CheckpointError, "{} does not exist; start without "),
        (lambda path: path.write_bytes(b""), CheckpointError, "{} cannot be read ("),
        (lambda path: path.write_bytes(b"text"), CheckpointError, "{} cannot be read ("),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), CheckpointError, "{} cannot be "),
        (lambda path: torch.save({"state_dict": {}}, path), CheckpointError, "{} cannot be read ("),
        (lambda path: torch.save([3], path), CheckpointError, "{} cannot be read ("),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(path, change, error, text):
    change(path)
    with pytest.raises(error) as caught:
        check_resume(path, nn.Linear(3, 2), epochs=5)
    assert str(caught.value).startswith(text.format(path))
    assert "\n" not in str(caught.value)


def test_another_model_and_fewer_epochs_are_refused(path):
    with pytest.raises(CheckpointError) as caught:
        check_resume(path, nn.Linear(3, 2, bias=False), epochs=5)
    assert str(caught.value) == (
        f"{path} is of another model or number of classes (bias differs); go on with the settings"
        " of its run or choose another output_dir"
    )
    with pytest.raises(CheckpointError, match=r" \(\w+ differs\); "):
        check_resume(path, nn.Linear(3, 7), epochs=5)
    with pytest.raises(ConfigError) as caught:
        check_resume(path, nn.Linear(3, 2), epochs=4)
    assert str(caught.value) == f"train.epochs (4) must be at least the 5 that {path} holds"


def test_what_is_kept_is_told(path, tmp_path):
    assert tell_kept(path, epochs=30) == (
        f"stopped; {path} holds epoch 5 of 30: go on with --train.resume true"
    )
    assert tell_kept(tmp_path / "no.ckpt", epochs=3) == "stopped before the first epoch was kept"


def test_a_full_disk_leaves_the_last_good_file(path):
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(WriteError) as caught:
            WholeCheckpoints().save_checkpoint({"state_dict": torch.zeros(9999)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == f"{path} cannot be written: File too large"
    assert (path.read_bytes(), os.listdir(path.parent)) == (before, ["last.ckpt"])


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
