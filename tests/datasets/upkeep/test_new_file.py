import errno
from pathlib import Path

import pytest
from av.error import FFmpegError

from stvit_video.datasets.upkeep.new_file import new_file


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "new").symlink_to(tmp_path / "precious")
    with new_file(tmp_path / "new") as file:
        file.write(b"words")
    assert (tmp_path / "precious").read_text() == "keep"
    assert (tmp_path / "new").read_text() == "words"
    assert not (tmp_path / "new").is_symlink()


def test_what_an_encoder_says_of_a_full_disk_is_what_the_disk_said(monkeypatch):
    monkeypatch.setattr(Path, "unlink", lambda path, missing_ok: None)
    monkeypatch.setattr("stvit_video.datasets.upkeep.new_file._NewFile.__init__", _open_full)

    def encode():
        with new_file(Path("/dev/full")) as file:
            try:
                file.write(b"words")
            except OSError:
                raise FFmpegError(1, "Error in PyAV callback") from None

    with pytest.raises(OSError, match="No space left on device") as caught:
        encode()
    assert caught.value.errno == errno.ENOSPC


def _open_full(file, path, mode):
    super(type(file), file).__init__(path, "wb")


def test_what_an_encoder_says_of_itself_stays(tmp_path):
    def encode():
        with new_file(tmp_path / "a"):
            raise FFmpegError(7, "odd size")

    with pytest.raises(FFmpegError, match="odd size"):
        encode()
