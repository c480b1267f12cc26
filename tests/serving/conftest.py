"""A server in a process of its own, as the command line starts it, and ways to ask it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

from stvit_video import create_model, write_checkpoint

KIND = {"Content-Type": "application/octet-stream"}


class Server:
    """One `stvit-video serve`: one worker, one request may wait, videos of at most 1 MiB."""

    def __init__(self, runs, temp, *options):
        self.temp = temp
        words = ["serve", "--checkpoint", str(runs / "semantic"), "--port", "0"]
        words += ["--device", "cpu", "--max_size", "1", "--max_time", "3s"]
        words += ["--queue", "1", *options]
        code = "import sys; from stvit_video.cli import main; sys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env=os.environ | {"TMPDIR": str(temp), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.told = []
        """Lines, as they come."""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.wait(lambda: any("ctrl-c" in line for line in self.told), seconds=120)
        self.address = re.search(r"http://\S+/", self.told[-1])[0]
        self.port = int(self.address.rstrip("/").rpartition(":")[2])

    def _listen(self):
        for line in self.process.stdout:
            self.told.append(line.rstrip("\n"))

    def ask(self, method, path, *, body=None, headers=None, host=None):
        """Ask once: status, headers, and the answer, JSON where it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        name = f"127.0.0.1:{self.port}" if host is None else host
        with_host = {"Host": name} | (headers or {})
        connection.request(method, path, body=body, headers=with_host)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.headers.get_content_type() == "application/json":
            content = json.loads(content)
        return answer.status, answer.headers, content

    def look_at(self, content):
        """Send a video: status and answer."""
        status, _, answer = self.ask("POST", "/analyse", body=content, headers=KIND)
        return status, answer

    def begin(self, content):
        """Send a video and do not wait for the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/analyse", body=content, headers=KIND)
        return connection

    @property
    def folder(self):
        """The private folder of the server."""
        (folder,) = self.temp.glob("stvit-video-serve-*")
        return folder

    def left_over(self):
        """What lies in the folder besides results."""
        return [path.name for path in self.folder.iterdir() if path.suffix != ".html"]

    def workers(self):
        """Ids of the processes with models: children of the fork server."""
        parents = {}
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                words = dict(line.split(":", 1) for line in status.read_text().splitlines())
            except OSError:
                continue
            if words["State"].split()[0] != "Z":
                parents[int(words["Pid"])] = int(words["PPid"])
        own = {pid for pid, parent in parents.items() if parent == self.process.pid}
        return {pid for pid, parent in parents.items() if parent in own}

    def wait(self, condition, seconds=30):
        """Wait until it is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.told
            assert self.process.poll() is None, self.told
            time.sleep(0.02)

    def stop(self, number):
        """Send a signal and return the status at the end and the last line."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        self._listener.join()
        self.process.stdout.close()
        return status, self.told[-1]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A model with semantic tokens, and a dense one."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs")
    labels = ("waving", "</script><img src=x onerror=alert(1)>", "running")
    for name, semantic in {"semantic": "4x2x2@1", "dense": None}.items():
        model = create_model("demo_tiny", num_classes=3, semantic=semantic)
        write_checkpoint(model, folder / name, labels=labels)
    return folder


@pytest.fixture(scope="session")
def start(runs, tmp_path_factory):
    """Start a server; whatever happens, it is gone at the end."""
    servers = []

    def start(*options):
        # short, as the fork server puts a socket there, whose path must fit 108 bytes
        temp = tempfile.TemporaryDirectory(prefix="t")
        servers.append((Server(runs, Path(temp.name), *options), temp))
        return servers[-1][0]

    yield start
    for server, temp in servers:
        server.process.kill()
        server.process.wait()
        temp.cleanup()


@pytest.fixture(scope="session")
def server(start, runs):
    """The server that most tests ask; it must end as ctrl-c ends programs."""
    server = start("--compare", str(runs / "dense"))
    yield server
    workers, folder = server.workers(), server.folder
    status, told = server.stop(signal.SIGINT)
    assert told == "stvit-video serve: stopped; uploads and results are deleted"
    assert status == 130
    assert not folder.exists()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@pytest.fixture(scope="session")
def video(numbered_video):
    """A video of 60 frames, as bytes."""
    return numbered_video.read_bytes()
