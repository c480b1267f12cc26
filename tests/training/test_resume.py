"""The file that a run goes on from: whole or as before, and looked at before it is used."""

import os
import resource
import stat

import pytest
import torch
from torch import nn

from stvit_video.errors import CheckpointError, ConfigError, WriteError
from stvit_video.training.resume import (
    WholeCheckpoints,
    changed_settings,
    check_checkpoint,
    find_checkpoint,
    read_checkpoint,
    tell_changes,
)

STATE = {
    "state_dict": nn.Linear(3, 2).state_dict(),
    "callbacks": {"EpochLog": {"epochs": [{}] * 5}},
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "step_00000007.ckpt"
    WholeCheckpoints().save_checkpoint(STATE, path)
    return path


def test_the_file_of_its_own_run_is_taken(path):
    found, checkpoint = find_checkpoint(path.parent, tell=print)
    assert found == path
    check_checkpoint(path, checkpoint, nn.Linear(3, 2), epochs=5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"text"),
        lambda path: path.write_bytes(path.read_bytes()[:900]),
        lambda path: torch.save({"state_dict": {}}, path),
        lambda path: torch.save([3], path),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(path, change):
    change(path)
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(path.parent, tell=print)
    assert str(caught.value).startswith(f"{path} cannot be read (")
    assert str(caught.value).endswith("), nor one before it; start again in another output_dir")
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_found(path):
    content = bytearray(path.read_bytes())
    weight = content.index(STATE["state_dict"]["weight"].numpy().tobytes())
    content[weight + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Bad CRC-32|is damaged"):
        read_checkpoint(path)


def test_the_newest_whole_file_is_taken(path, tmp_path):
    told = []
    newer = tmp_path / "step_00000012.ckpt"
    newer.touch()
    (tmp_path / "step_00000003.ckpt").touch()
    assert find_checkpoint(tmp_path, tell=told.append)[0] == path
    (line,) = told
    assert line.startswith(f"{newer} cannot be read (")
    assert line.endswith("); step_00000007.ckpt is taken instead")
    assert find_checkpoint(tmp_path / "none", tell=print) is None


def test_another_model_and_fewer_epochs_are_refused(path):
    with pytest.raises(CheckpointError) as caught:
        check_checkpoint(path, STATE, nn.Linear(3, 2, bias=False), epochs=5)
    assert str(caught.value) == (
        f"{path} is of another model or number of classes (bias differs); go on with the settings"
        " of its run or choose another output_dir"
    )
    with pytest.raises(CheckpointError, match=r" \(\w+ differs\); "):
        check_checkpoint(path, STATE, nn.Linear(3, 7), epochs=5)
    with pytest.raises(ConfigError) as caught:
        check_checkpoint(path, STATE, nn.Linear(3, 2), epochs=4)
    assert str(caught.value) == f"train.epochs (4) must be at least the 5 that {path} holds"


def test_changed_settings_are_named_and_some_refused(tmp_path):
    before = {"train": {"epochs": 3, "seed": 0, "gone": 1}, "views": {"num_clips": 1}}
    now = {"train": {"epochs": 5, "seed": 0, "new": 1}, "views": {"num_clips": 4}}
    changed = changed_settings(before, now)
    assert changed == {"train.epochs": (3, 5), "views.num_clips": (1, 4)}
    assert tell_changes(changed, run_dir=tmp_path) == (
        "train.epochs (5, it was 3), views.num_clips (4, it was 1)"
    )
    for name in ("optimizer.name", "optimizer.backbone_lr", "train.share_frames"):
        with pytest.raises(ConfigError, match=rf"^{name} \(1, it was 0\) cannot change"):
            tell_changes({name: (0, 1)}, run_dir=tmp_path)
    with pytest.raises(ConfigError) as caught:
        tell_changes(changed | {"train.seed": (0, 2)}, run_dir=tmp_path)
    assert str(caught.value) == (
        f"train.seed (2, it was 0) cannot change within the run of {tmp_path}; go on with its"
        " settings or choose another output_dir"
    )


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
    assert (path.read_bytes(), os.listdir(path.parent)) == (before, [path.name])


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
