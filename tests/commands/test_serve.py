"""What `stvit-video serve` refuses before it serves; tests/serving asks a server."""

import importlib.util
import socket

import pytest

from stvit_video import create_model, write_checkpoint
from stvit_video.cli import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_checkpoint(create_model("demo_tiny", num_classes=2), folder)
    return str(folder)


def test_an_address_that_is_taken_is_named(checkpoint, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--checkpoint", checkpoint, "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"stvit-video serve: host (127.0.0.1) and port ({port}) cannot be listened at: Address"
        " already in use; choose another port, or 0 for any\n"
    )


def test_a_host_that_is_not_there_is_named(checkpoint, capsys):
    assert main(["serve", "--checkpoint", checkpoint, "--host", "no.such.host.invalid"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("stvit-video serve: host (no.such.host.invalid) and port (8000) cannot")


def test_a_folder_without_a_model_is_named(tmp_path, capsys):
    assert main(["serve", "--checkpoint", str(tmp_path), "--port", "0"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"stvit-video serve: {tmp_path}")
    assert told.count("\n") == 1


def test_without_its_libraries_it_says_what_to_install(checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["serve", "--checkpoint", checkpoint]) == 2
    assert capsys.readouterr().err == (
        "stvit-video serve: serve needs starlette and uvicorn; run pip install"
        " 'stvit-video[serve]'\n"
    )
