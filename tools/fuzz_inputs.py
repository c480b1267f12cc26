"""Damage lists, cards, configs, weights and videos in many ways, and give each to the command that
reads it: it must end in time, in bounded memory, with status 0, 1 or 2, and with one line where it
refuses.

    python tools/fuzz_inputs.py --num_cases 10000 --output docs/results/hostile.md

Each case runs in a process of its own, forked from one that has imported everything. Exits with 1
where a case failed; `--only KIND --first SEED --num_cases 1 --show` runs one again.
"""

import argparse
import contextlib
import importlib
import multiprocessing
import os
import pkgutil
import platform
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from mutations import mutate

import stvit_video
from stvit_video import create_model
from stvit_video.cli import main as run_command
from stvit_video.datasets.manifest import read_manifest
from stvit_video.errors import StvitVideoError
from stvit_video.files import write_file
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.video.numbered import numbered_picture, write_pictures
from stvit_video.visible import visible

SECONDS, MEBIBYTES = 10.0, 2048


class Kind(NamedTuple):
    """What is damaged, and who reads it."""

    files: tuple[str, ...]
    """Of the folder of samples; one of them is damaged."""
    run: Callable[[Path, str], int]
    """Reads the folder, whose damaged file is named; returns the status."""


class Outcome(NamedTuple):
    """What came of a case."""

    kind: str
    seed: int
    status: int
    seconds: float
    mebibytes: float
    """More than the process had before."""
    fault: str
    """What must not be; empty for nothing."""


def _command(*words: object) -> int:
    return run_command([str(word) for word in words])


def _list(layout: str) -> Callable[[Path, str], int]:
    def run(folder: Path, name: str) -> int:
        words = ["--annotations", folder / name, "--output", folder / "out.csv"]
        return _command("data", "manifest", layout, folder, *words, "--num_workers", 0)

    return run


def _manifest(folder: Path, name: str) -> int:
    try:
        read_manifest(folder / name)
    except StvitVideoError as error:
        print(visible(f"stvit-video: {error}"), file=sys.stderr)
        return 2
    return 0


def _predict(folder: Path, name: str) -> int:
    video = folder / (name if name.startswith("video.") else "video.mp4")
    words = ["--checkpoint", folder / "model", "--num_workers", 0, "--device", "cpu"]
    return _command("predict", video, *words)


def _convert(folder: Path, name: str) -> int:
    words = ["--model", "demo_tiny", "--output", folder / "converted"]
    return _command("convert", folder / name, *words)


def _config(folder: Path, name: str) -> int:
    os.chdir(folder)
    return _command("train", "--config", folder / name)


KINDS = {
    "list": Kind(("list.txt", "list.csv", "list.json"), _list("list")),
    "multi-label list": Kind(("labels.txt",), _list("multi-label-list")),
    "Kinetics": Kind(("kinetics.csv",), _list("kinetics400")),
    "Something-Something": Kind(("ssv2.json",), _list("ssv2")),
    "manifest": Kind(("manifest.csv",), _manifest),
    "card": Kind(("model/model.json",), _predict),
    "weights": Kind(
        ("weights.pt", "model/model.safetensors"),
        lambda folder, name: (
            _predict(folder, name) if name.startswith("model/") else _convert(folder, name)
        ),
    ),
    "config": Kind(("config.yaml",), _config),
    "video": Kind(("video.mp4", "video.mkv", "video.avi"), _predict),
}


def make_samples(folder: Path) -> None:
    """Write one good file of each kind."""
    torch.manual_seed(0)
    model = create_model("demo_tiny", num_classes=4, num_frames=2, image_size=32)
    write_checkpoint(model, folder / "model", labels=("a", "b", "c", "d"))
    torch.save(model.state_dict(), folder / "weights.pt")
    pictures = [numbered_picture(number, width=64, height=48) for number in range(12)]
    for name in ("video.mp4", "video.mkv", "video.avi"):
        codec = (
            {"codec": "mpeg4"} if name.endswith("avi") else {"options": {"x264-params": "log=-1"}}
        )
        write_pictures(folder / name, pictures, **codec)
    for name in ("-0zsbcR2fRk_000000_000010.mp4", "1.mp4"):
        shutil.copy(folder / "video.mp4", folder / name)
    texts = {
        "list.txt": "video.mp4 3\nvideo.mkv 0\nvideo.avi -1\n",
        "list.csv": "path,num_frames,label\nvideo.mp4,12,run\nvideo.mkv,12,sit\n",
        "list.json": '[{"video": "video.mp4", "label": 3}, {"video": "video.mkv", "label": 0}]\n',
        "labels.txt": "video.mp4 3 1\nvideo.mkv 0\n",
        "kinetics.csv": "label,youtube_id,time_start,time_end,split\n"
        "abseiling,-0zsbcR2fRk,0,10,train\nyoga,abcdefghijk,3,13,val\n",
        "ssv2.json": '[{"id": "1", "template": "Holding [something]"}, {"id": "2"}]\n',
        "labels.json": '{"Holding something": "0", "Moving something": "1"}\n',
        "manifest.csv": "path,label,num_frames,fps,start_frame,end_frame\n"
        "video.mp4,run,12,25.0,0,-1\nvideo.mkv,sit,12,25.0,2,8\n",
        "config.yaml": "model:\n  name: demo_tiny\n  num_frames: 2\ndata:\n  train: nothing.csv\n"
        "  num_workers: 0\ntrain:\n  epochs: 1\n  batch_size: 2\noutput_dir: run\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)


def run_case(samples: Path, kind: str, seed: int, *, show: bool = False) -> Outcome:
    """Damage a sample by `seed`, read it in a process of its own, and judge what came of it."""
    random = Random(f"{kind} {seed}")
    name = random.choice(KINDS[kind].files)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "case")
        shutil.copytree(samples, folder, copy_function=os.link)
        damaged = mutate((samples / name).read_bytes(), random)
        (folder / name).unlink()
        (folder / name).write_bytes(damaged)
        if show:
            print(f"{name}: {damaged[:2000]!r}")
        output = Path(place, "output")
        start = time.perf_counter()
        process = os.fork()
        if process == 0:
            _read(KINDS[kind], folder, name, output)
        status, usage, is_late = _wait(process, start)
        text = output.read_text(errors="replace") if output.exists() else ""
        if show:
            print(text)
    mebibytes = (usage.ru_maxrss - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
    seconds = time.perf_counter() - start
    fault = "took too long" if is_late else _fault(status, text, mebibytes)
    return Outcome(kind, seed, status, seconds, max(mebibytes, 0.0), fault)


def _read(kind: Kind, folder: Path, name: str, output: Path) -> None:
    """Run the reader with its output in a file, and leave."""
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    status = 70
    try:
        status = kind.run(folder, name)
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    except BaseException:  # whatever a user would see as a traceback
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _wait(process: int, start: float) -> tuple[int, resource.struct_rusage, bool]:
    while True:
        found, status, usage = os.wait4(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage, False
        if time.perf_counter() - start > SECONDS:
            os.kill(process, signal.SIGKILL)
            _, status, usage = os.wait4(process, 0)
            return os.waitstatus_to_exitcode(status), usage, True
        time.sleep(0.002)


def _fault(status: int, text: str, mebibytes: float) -> str:
    if status not in (0, 1, 2):
        return f"ended with status {status}"
    if mebibytes > MEBIBYTES:
        return f"took {mebibytes:.0f} MiB"
    if "Traceback" in text:
        return "told a traceback"
    if re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text):
        return "sent control characters to the terminal"
    told = [line for line in text.splitlines() if line.startswith("stvit-video")]
    if status == 2 and len(told) != 1:
        return f"refused in {len(told)} lines"
    return ""


def import_everything() -> None:
    """Import all modules of the package, so that forked processes have them."""
    for module in pkgutil.walk_packages(stvit_video.__path__, "stvit_video."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # of a library that is not here
                importlib.import_module(module.name)


def run_cases(task: tuple[Path, list[tuple[str, int]]]) -> list[Outcome]:
    """Run the cases of one process."""
    samples, cases = task
    torch.set_num_threads(1)
    return [run_case(samples, kind, seed) for kind, seed in cases]


def all_outcomes(samples: Path, cases: list[tuple[str, int]], processes: int) -> Iterator[Outcome]:
    """Run all cases, some at a time in each process."""
    parts = [(samples, cases[start : start + 50]) for start in range(0, len(cases), 50)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for number, outcomes in enumerate(pool.imap_unordered(run_cases, parts), start=1):
            yield from outcomes
            print(f"\r{number} of {len(parts)} parts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def make_page(outcomes: list[Outcome], command: str, seconds: float) -> str:
    """Write what came of the cases as Markdown."""
    lines = [
        "# Hostile inputs",
        "",
        f"{len(outcomes)} damaged inputs, each given to the command that reads it, in a process of"
        f" its own: it must end within {SECONDS:.0f} s, within {MEBIBYTES} MiB more than it began"
        " with, with status 0, 1 or 2, refuse in one line, and send no control characters to the"
        " terminal. Damages: flipped bits, words replaced by others with a meaning, stretches left"
        " out or repeated up to a thousand times, other orders of lines, cuts, up to 100,000"
        " brackets; one to four of them a file.",
        "",
        f"Made by `python {command}` on {date.today()}, Python {platform.python_version()},"
        f" torch {torch.__version__}; {seconds:.0f} s.",
        "",
        "| input | cases | read | refused | most seconds | most MiB | failed |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in (*KINDS, "all"):
        own = [outcome for outcome in outcomes if kind in (outcome.kind, "all")]
        if not own:
            continue
        statuses = Counter(outcome.status for outcome in own)
        lines.append(
            f"| {kind} | {len(own)} | {statuses[0]} | {statuses[1] + statuses[2]}"
            f" | {max(outcome.seconds for outcome in own):.1f}"
            f" | {max(outcome.mebibytes for outcome in own):.0f}"
            f" | {sum(bool(outcome.fault) for outcome in own)} |"
        )
    failed = [outcome for outcome in outcomes if outcome.fault]
    lines += ["", f"{len(failed)} failed."]
    lines += [f"- {one.kind}, seed {one.seed}: {one.fault}" for one in failed[:50]]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the cases and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num_cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), help="kinds of input")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print inputs and what was told")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    kinds = arguments.only or list(KINDS)
    seeds = range(arguments.first, arguments.first + arguments.num_cases)
    cases = [(kinds[seed % len(kinds)], seed) for seed in seeds]
    start = time.perf_counter()
    import_everything()
    with tempfile.TemporaryDirectory() as place:
        samples = Path(place, "samples")
        samples.mkdir()
        make_samples(samples)
        if arguments.show:
            outcomes = [run_case(samples, kind, seed, show=True) for kind, seed in cases]
        else:
            outcomes = list(all_outcomes(samples, cases, arguments.processes))
    command = f"tools/fuzz_inputs.py --first {seeds.start} --num_cases {len(seeds)}"
    page = make_page(outcomes, command, time.perf_counter() - start)
    print(page)
    if arguments.output:
        write_file(arguments.output, page)
    return int(any(outcome.fault for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
