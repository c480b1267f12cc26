"""A copy of `data/` to run its scripts in, whose `stvit-video` is this process: no import twice."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stvit_video.cli import main

DATA = Path(__file__).parents[2] / "data"
CLIENT = """\
#!{python} -SE
import socket, sys
with socket.create_connection(("127.0.0.1", {port})) as server:
    server.sendall("\\0".join(sys.argv[1:]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(server.recv(1)[0])
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What git holds of `data/`, in a folder of its own."""
    for name in ("classes", "prepare"):
        shutil.copytree(DATA / name, tmp_path / "data" / name)
    return tmp_path / "data"


@pytest.fixture
def run_script(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of `data/prepare` from `tmp_path`: its name, then its arguments."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [f"data/prepare/{name}.sh", *arguments]
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.05)
            program = tmp_path / "stvit-video"
            program.write_text(CLIENT.format(python=sys.executable, port=server.getsockname()[1]))
            program.chmod(0o755)
            environment = os.environ | {"STVIT_VIDEO": str(program)}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            with subprocess.Popen(command, env=environment, **pipes) as process:
                while process.poll() is None:
                    _serve(server)
                output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    return run


def _serve(server: socket.socket) -> None:
    """Answer one call of the program, if one comes, with its exit status."""
    try:
        connection, _ = server.accept()
    except TimeoutError:
        return
    with connection, connection.makefile("rb") as request:
        connection.sendall(bytes([main(request.read().decode().split("\0"))]))
