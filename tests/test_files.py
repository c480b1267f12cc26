"""Files appear whole or not at all; folders are held by one run; what cannot be written is told."""

import os
import resource
import stat
import subprocess
import sys

import pytest

from stvit_video.errors import ConfigError, MissingFileError, WriteError
from stvit_video.files import (
    check_output,
    check_output_folder,
    check_result,
    holding,
    replacing,
    write_file,
)

HOLD = (
    "import sys; from pathlib import Path; from stvit_video.files import holding\n"
    "with holding(Path(sys.argv[1])):\n"
    "    print('held', flush=True); sys.stdin.readline()"
)


def test_a_file_is_written_with_its_folder_from_a_path_or_text(tmp_path):
    write_file(tmp_path / "new" / "a.txt", "grün\n")
    write_file(str(tmp_path / "new" / "b.bin"), b"\x00\xff")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "grün\n".encode()
    assert (tmp_path / "new" / "b.bin").read_bytes() == b"\x00\xff"
    assert sorted(os.listdir(tmp_path / "new")) == ["a.txt", "b.bin"]


def write_half(path, error, *errors):
    with replacing(path, *errors) as partial_path:
        partial_path.write_text("half")
        raise error


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (OSError(28, "No space left"), WriteError, "{} cannot be written: No space left"),
        (
            RuntimeError("file write\n failed"),
            WriteError,
            "{} cannot be written: file write failed",
        ),
        (ValueError("a bug"), ValueError, "a bug"),
        (MissingFileError("not the disk"), MissingFileError, "not the disk"),
    ],
)
def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path, error, kind, text):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(kind) as caught:
        write_half(path, error, RuntimeError)
    assert str(caught.value) == text.format(path)
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a.txt"])


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "a.txt") as partial_path:
            partial_path.unlink()
            os.close(os.open(partial_path, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_a_full_disk_is_one_line(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(WriteError) as caught:
            write_file(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == f"{path} cannot be written: File too large"
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["a.bin"])


def test_a_folder_is_held_by_one_process_until_it_ends_even_by_force(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError) as caught, holding(folder):
            pass
        other.kill()
    assert str(caught.value) == (
        f"output_dir ({folder}) is in use by another run; wait for its end or choose another folder"
    )
    assert os.listdir(folder) == [".lock"]  # left by the dead process, and in nobody's way
    with holding(folder):
        assert os.listdir(folder) == [".lock"]
    assert os.listdir(folder) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_folder_is_free_once_its_holder_is_dead_though_a_child_of_it_lives(tmp_path):
    told = "print('held', flush=True)"
    code = HOLD.replace(told, f"os.fork() or {told}; time.sleep(9)")  # the child tells
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", f"import os, time; {code}", str(tmp_path)]
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        other.kill()
        other.wait()
        with holding(tmp_path):
            pass


def test_an_error_of_the_run_in_a_held_folder_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^a file of the run$"), holding(tmp_path):
        raise FileNotFoundError("a file of the run")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("check", "path", "reason"),
    [
        (check_result, "no/x.json", "cannot be written: there is no folder {}/no"),
        (check_result, "file/x.json", "cannot be written: there is no folder {}/file"),
        (check_result, "", "is a folder; name a file"),
        (check_output, "file/no/x.csv", "cannot be written: {}/file is a file, no folder"),
        (check_output, "", "is a folder; name a file"),
        (check_output_folder, "file", "cannot be written: {}/file is a file, no folder"),
        (check_output_folder, "file/no", "cannot be written: {}/file is a file, no folder"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(tmp_path, check, path, reason):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError) as caught:
        check("there", tmp_path / path)
    assert str(caught.value) == f"there ({tmp_path / path}) {reason.format(tmp_path)}"
    assert os.listdir(tmp_path) == ["file"]


def test_what_can_be_written_is_not_written_yet(tmp_path):
    check_result("json", tmp_path / "x.json")
    check_output("output", tmp_path / "new" / "x.csv")
    check_output_folder("output_dir", tmp_path / "new" / "run")
    assert os.listdir(tmp_path) == []


def test_a_folder_without_the_right_to_write_is_told(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("stvit_video.files.TemporaryFile", refuse)
    with pytest.raises(WriteError) as caught:
        check_output_folder("output_dir", tmp_path / "run")
    assert (
        str(caught.value) == f"output_dir ({tmp_path / 'run'}) cannot be written: Permission denied"
    )


def test_a_lock_of_another_program_is_let_be(tmp_path):
    (tmp_path / ".lock").write_text("pid 17")
    with pytest.raises(ConfigError) as caught, holding(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path / '.lock'} is a lock of another program; choose another folder"
    )
    assert (tmp_path / ".lock").read_text() == "pid 17"


def test_a_device_is_not_replaced_by_a_file(tmp_path):
    device = tmp_path / "null"
    device.symlink_to("/dev/null")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (device, pipe):
        with pytest.raises(WriteError) as caught:
            check_result("json", path)
        assert str(caught.value) == f"json ({path}) is a device or a pipe; name a file"
