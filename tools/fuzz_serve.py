"""Send damaged videos to `stvit-video serve`, and leave it in the middle: every request must be
answered by a line of JSON in time, and the server must live on, leave no upload behind, and in the
end answer a good video.

    python tools/fuzz_serve.py --num_cases 10000 --output docs/results/hostile_serve.md
"""

import argparse
import http.client
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from fuzz_inputs import make_samples
from mutations import flip_bits, mutate

from stvit_video import create_model
from stvit_video.files import write_file
from stvit_video.models.checkpoint import write_checkpoint

SECONDS = 20.0
"""In which a request must be answered."""
VIDEOS = ("video.mp4", "video.mkv", "video.avi")
KINDS = (*VIDEOS, "leaves", "request")
"""A damaged video; a good one whose sender goes away; a damaged request of HTTP."""


class Outcome(NamedTuple):
    """What came of a case."""

    kind: str
    seed: int
    status: int
    """0 where there is no answer, as there need not be."""
    seconds: float
    fault: str
    """What must not be; empty for nothing."""


class Server:
    """A server with two workers."""

    def __init__(self, folder: Path) -> None:
        self.temp = folder / "t"
        self.temp.mkdir()
        words = ["serve", "--checkpoint", str(folder / "semantic"), "--workers", "2", "--port", "0"]
        words += ["--device", "cpu", "--max_size", "1", "--max_time", "10s", "--max_duration", "1s"]
        code = "import sys; from stvit_video.cli import main; sys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env=os.environ | {"TMPDIR": str(self.temp)},
            stdout=subprocess.PIPE,
            stderr=(folder / "told").open("w"),
            text=True,
        )
        assert self.process.stdout is not None
        found = None
        while found is None:
            line = self.process.stdout.readline()
            assert line, (folder / "told").read_text()
            found = re.search(r":(\d+)/", line)
        self.port = int(found[1])

    def left_over(self) -> list[str]:
        """Name what lies there besides results."""
        (folder,) = self.temp.glob("stvit-video-serve-*")
        return [path.name for path in folder.iterdir() if path.suffix != ".html"]

    def stop(self) -> tuple[int, list[str]]:
        """End it; return its status and what it told on the way."""
        self.process.send_signal(signal.SIGTERM)
        told, _ = self.process.communicate(timeout=60)
        return self.process.returncode, told.splitlines()

    def send(self, body: bytes) -> tuple[int, dict[str, object]]:
        """Send a video; return status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            kind = {"Content-Type": "application/octet-stream"}
            connection.request("POST", "/analyse", body=body, headers=kind)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def run_case(server: Server, samples: dict[str, bytes], kind: str, seed: int) -> Outcome:
    """Send what `seed` makes of a kind, and judge the answer."""
    random = Random(f"{kind} {seed}")
    start = time.perf_counter()
    status, fault = 0, ""
    try:
        if kind in VIDEOS:
            damage = random.choice((mutate, flip_bits))  # the second leaves more to decode
            status, answer = server.send(damage(samples[kind], random))
            fault = judge(status, answer)
        else:
            status = _disturb(server, samples["video.mp4"], kind, random)
    except (OSError, http.client.HTTPException, ValueError) as error:
        fault = f"no answer: {type(error).__name__}: {error}"
    return Outcome(kind, seed, status, time.perf_counter() - start, fault)


def judge(status: int, answer: dict[str, object]) -> str:
    """Say what is wrong with an answer; nothing where it is fine."""
    if status == 200:
        return "" if "models" in answer else "an answer without models"
    if status not in (400, 413, 422):
        return f"status {status}: {answer.get('error')}"
    line = answer.get("error")
    if not isinstance(line, str) or "\n" in line or "Traceback" in line or "/" in line:
        return f"told {line!r}"
    return ""


def _disturb(server: Server, video: bytes, kind: str, random: Random) -> int:
    """Send a request in part, or a damaged one; return the status if there is an answer."""
    head = (
        f"POST /analyse HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(video)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        if kind == "leaves":
            part = video[: random.randint(0, len(video))] if random.random() < 0.8 else video
            connection.sendall(head + part)
            time.sleep(random.choice((0.0, 0.02, 0.2)))
            return 0
        connection.sendall(mutate(head, random)[:100_000] + video)
        connection.shutdown(socket.SHUT_WR)
        found = re.match(rb"HTTP/1.1 (\d+)", connection.recv(1000))
        return int(found[1]) if found else 0


def make_page(outcomes: list[Outcome], told: list[str], command: str, seconds: float) -> str:
    """Write what came of the cases as Markdown."""
    deaths = Counter(
        line.partition(":")[0] for line in told if line.startswith(("the ", "looking"))
    )
    lines = [
        "# Hostile uploads",
        "",
        f"{len(outcomes)} requests to one `stvit-video serve` with two workers, two at a time:"
        " damaged videos (the mutations of [hostile inputs](hostile.md)), senders that go away"
        " while they send or while a worker looks, and damaged HTTP. Each video must be answered"
        f" within {SECONDS:.0f} s with status 200, 400, 413 or 422, by one line of JSON without a"
        " path; the server must live on, leave no upload behind, answer a good video in the end,"
        " and leave at SIGTERM with status 143.",
        "",
        f"Made by `python {command}` on {date.today()}, Python {platform.python_version()}, torch"
        f" {torch.__version__}; {seconds:.0f} s.",
        "",
        "| request | cases | 200 | refused | no answer wanted | most seconds | failed |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in (*KINDS, "all"):
        own = [outcome for outcome in outcomes if kind in (outcome.kind, "all")]
        if not own:
            continue
        good, silent = (sum(one.status == status for one in own) for status in (200, 0))
        lines.append(
            f"| {kind} | {len(own)} | {good} | {len(own) - good - silent} | {silent}"
            f" | {max(one.seconds for one in own):.1f} | {sum(bool(one.fault) for one in own)} |"
        )
    failed = [outcome for outcome in outcomes if outcome.fault]
    words = ", ".join(f"{line} ({number} times)" for line, number in deaths.items())
    lines += ["", f"{len(failed)} failed. Workers that died or took too long: {words or 'none'}."]
    lines += [f"- {one.kind}, seed {one.seed}: {one.fault}" for one in failed[:50]]
    return "\n".join(lines) + "\n"


def run_all(folder: Path, cases: list[tuple[str, int]]) -> tuple[list[Outcome], list[str]]:
    """Run the cases against one server; return what came of them, and what the server told."""
    make_samples(folder)
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=4, num_frames=2, image_size=32, semantic="3@1")
    write_checkpoint(model, folder / "semantic")
    samples = {name: (folder / name).read_bytes() for name in VIDEOS}
    server = Server(folder)
    outcomes = []
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(run_case, server, samples, *case) for case in cases]
        for number, one in enumerate(running, start=1):
            outcomes.append(one.result())
            if number % 100 == 0:
                print(f"\r{number} of {len(cases)}", end="", file=sys.stderr, flush=True)
    outcomes += _check_end(server, samples["video.mp4"])
    status, told = server.stop()
    if status != 143:
        outcomes.append(Outcome("all", 0, status, 0.0, f"the server ended with status {status}"))
    errors = (folder / "told").read_text()
    if "Traceback" in errors:
        outcomes.append(Outcome("all", 0, 0, 0.0, f"told a traceback: {errors[-500:]}"))
    return outcomes, told


def _check_end(server: Server, video: bytes) -> list[Outcome]:
    """See whether all uploads are gone, and a good video is answered."""
    end = time.monotonic() + SECONDS
    while server.left_over() and time.monotonic() < end:
        time.sleep(0.1)
    faults = [f"left behind: {name}" for name in server.left_over()]
    status, _ = server.send(video)
    if status != 200:
        faults.append(f"a good video is answered with {status}")
    return [Outcome("all", 0, status, 0.0, fault) for fault in faults]


def main() -> int:
    """Run the cases and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num_cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.num_cases)
    # of ten requests, eight hold a damaged video
    kinds = (*VIDEOS, *VIDEOS, *VIDEOS[:2], "leaves", "request")
    cases = [(kinds[seed % len(kinds)], seed) for seed in seeds]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="f") as place:
        outcomes, told = run_all(Path(place), cases)
    command = f"tools/fuzz_serve.py --first {seeds.start} --num_cases {len(seeds)}"
    page = make_page(outcomes, told, command, time.perf_counter() - start)
    print(page)
    if arguments.output:
        write_file(arguments.output, page)
    return int(any(outcome.fault for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
