"""Damage videos in many ways and read each one: nothing may hang, crash or fail without a reason,
and what is served must be what FFmpeg gives when it decodes the whole file from the start.

    python tools/fuzz_decoders.py --num_files 10000 --output docs/results/decoder_fuzz.md

Exits with 1 where a file hung, crashed its process, raised anything but `VideoDecodeError`, or was
served in silence with other pictures.
"""

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

from stvit_video.datasets.upkeep.scan import scan_video
from stvit_video.datasets.upkeep.workers import run_killable
from stvit_video.errors import VideoDecodeError
from stvit_video.video.decoding.conversion import convert
from stvit_video.video.decoding.indexing import index_video
from stvit_video.video.decoding.open import open_video
from stvit_video.video.decoding.stream import decode_all, open_stream
from stvit_video.video.numbered import numbered_picture, write_pictures

NUM_PICTURES = 90
WIDTH, HEIGHT = 128, 96
WRONG = "WRONG"
SOURCES: dict[str, dict[str, object]] = {
    "h264.mp4": {"options": {"g": "24", "bf": "2", "x264-params": "log=-1"}},
    "h264.mkv": {"options": {"g": "24", "bf": "2", "x264-params": "log=-1"}},
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "options": {"g": "24", "deadline": "realtime", "cpu-used": "8"},
    },
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "24", "bf": "2", "b": "1M"}},
}


class Case(NamedTuple):
    """One damaged file."""

    path: Path
    container: str
    damage: str
    backend: str


class Reading(NamedTuple):
    """What came of it."""

    outcome: str
    """The reason of the error; else, of the pictures that FFmpeg gives, `unchanged` or `changed`
    ones, or `WRONG` where it gives others."""
    verdict: str
    """What a scan says."""


def read_case(case: Case) -> Reading:
    """Read 16 frames at stride 4 and the last frame, as at the first open and at a later one."""
    expected = torch.load(case.path.with_name(f"{case.container}.pt"))
    outcomes = [_read(case, expected) for _ in range(2)]
    outcome = outcomes[0] if outcomes[0] == outcomes[1] else WRONG
    return Reading(outcome, scan_video(case.path).verdict)


def _read(case: Case, expected: torch.Tensor) -> str:
    try:
        with open_video(case.path, backend=case.backend) as decoder:
            last = decoder.num_frames - 1
            indices = [min(i, last) for i in [*range(9, 73, 4), NUM_PICTURES - 1]]
            frames = decoder.frames(indices)
    except VideoDecodeError as error:
        return error.reason
    if not torch.equal(frames, decode_from_start(case.path, indices)):
        return WRONG
    return "unchanged" if torch.equal(frames, expected) else "changed"


def decode_from_start(path: Path, indices: Sequence[int]) -> torch.Tensor:
    """Return the pictures at `indices` of all that come out of the file, (T, H, W, C).

    Where the packets tell which pictures are shown, one that does not come out keeps its number.
    """
    container, stream = open_stream(path, backend="reference")
    with container:
        frames = list(decode_all(container, stream))
    index = index_video(path, backend="reference")
    numbered = dict(enumerate(frames))
    if not index.is_sequential:
        at_time = {frame.pts: frame for frame in frames}
        numbered = {i: at_time.get(time) for i, time in enumerate(index.table.pts.tolist())}
    pictures = []
    for frame in (numbered.get(i) for i in indices):
        if frame is None:
            return torch.empty(0)
        picture = convert(frame, "rgb24", width=frames[0].width, height=frames[0].height)
        pictures.append(torch.from_numpy(index.display.show(picture.to_ndarray()).copy()))
    return torch.stack(pictures)


def flip_bits(data: bytearray, randomness: random.Random, *, count: int, end: int = 0) -> None:
    """Turn `count` bits somewhere before `end`."""
    for _ in range(count):
        data[randomness.randrange(end or len(data))] ^= 1 << randomness.randrange(8)


def overwrite(data: bytearray, randomness: random.Random) -> None:
    """Put noise over a stretch of the file."""
    start = randomness.randrange(len(data))
    length = min(4096, len(data) // 8, len(data) - start)
    data[start : start + length] = randomness.randbytes(length)


def punch_hole(data: bytearray, randomness: random.Random) -> None:
    """Take a stretch out of the file."""
    start = randomness.randrange(len(data))
    del data[start : start + randomness.randrange(1, len(data) // 8)]


def cut(data: bytearray, randomness: random.Random) -> None:
    """End the file early."""
    del data[randomness.randrange(1, len(data)) :]


DAMAGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "2 flipped bits": lambda data, randomness: flip_bits(data, randomness, count=2),
    "40 flipped bits": lambda data, randomness: flip_bits(data, randomness, count=40),
    "8 flipped bits in the header": lambda data, randomness: flip_bits(
        data, randomness, count=8, end=600
    ),
    "noise over a stretch": overwrite,
    "a stretch left out": punch_hole,
    "cut off": cut,
}


def write_sources(folder: Path) -> dict[str, bytes]:
    """Write one whole video a container, with the frames that `read_case` expects of it."""
    texture = np.random.default_rng(0).integers(0, 24, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for name, how in SOURCES.items():
        pictures = (
            numbered_picture(i, width=WIDTH, height=HEIGHT) + np.roll(texture, i, axis=1)
            for i in range(NUM_PICTURES)
        )
        write_pictures(folder / name, pictures, **how)  # type: ignore[arg-type]
        with open_video(folder / name) as decoder:
            frames = decoder.frames([*range(9, 73, 4), NUM_PICTURES - 1])
        torch.save(frames, folder / f"{name}.pt")
    return {name: (folder / name).read_bytes() for name in SOURCES}


def damaged_cases(folder: Path, num_files: int, seed: int, backend: str) -> Iterator[Case]:
    """Write damaged copies one by one, over all containers and damages in turn."""
    sources = write_sources(folder)
    randomness = random.Random(seed)
    kinds = [(name, damage) for damage in DAMAGES for name in SOURCES]
    for number in range(num_files):
        name, damage = kinds[number % len(kinds)]
        data = bytearray(sources[name])
        DAMAGES[damage](data, randomness)
        path = folder / f"{number:05}{Path(name).suffix}"
        path.write_bytes(data)
        yield Case(path, name, damage, backend)


def report(results: list[tuple[Case, Reading]], seconds: float, seed: int) -> str:
    """Write the tables."""
    outcomes = [r.outcome for _, r in results]
    columns = [name for name, _ in Counter(outcomes).most_common()]
    lines = [
        "# Damaged files",
        "",
        f"{len(results)} damaged files, read with `auto` (17 frames each) and scanned, every one"
        " in a process that can be killed. An outcome is a clean error with its reason, or frames:"
        " unchanged ones, or changed ones (FFmpeg mends what it cannot read). Each is compared with"
        " the picture that FFmpeg gives at that place when it decodes the file from its start on"
        " one thread; another one, or another outcome at a second open, counts as served wrong.",
        "",
        f"Made by `python tools/fuzz_decoders.py --num_files {len(results)} --seed {seed}` on"
        f" {date.today().isoformat()}, PyAV {av.__version__}, Python {platform.python_version()};"
        f" {seconds:.0f} s.",
        "",
    ]
    for title, names in (("container", SOURCES), ("damage", DAMAGES)):
        lines.append(f"| {title} | files | {' | '.join(columns)} | bad by scan | of the changed |")
        lines.append("|---" * (len(columns) + 4) + "|")
        for name in names:
            group = [reading for case, reading in results if name in case]
            counts = Counter(reading.outcome for reading in group)
            lines.append(f"| {name} | {_row(group, [counts[c] for c in columns])} |")
        counts = Counter(outcomes)
        lines.append(f"| all | {_row([r for _, r in results], [counts[c] for c in columns])} |\n")
    return "\n".join(lines)


def _row(group: list[Reading], counts: list[int]) -> str:
    num_bad = sum(reading.verdict != "ok" for reading in group)
    changed = [reading for reading in group if reading.outcome == "changed"]
    num_caught = sum(reading.verdict != "ok" for reading in changed)
    cells = [len(group), *counts, num_bad, f"{num_caught} of {len(changed)}"]
    return " | ".join(map(str, cells))


def main() -> int:
    """Damage, read, report; 1 where something failed without a reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--num_workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout_seconds", type=float, default=20.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    start = time.monotonic()
    results, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run_killable(
            read_case,
            damaged_cases(Path(folder), options.num_files, options.seed, options.backend),
            num_workers=options.num_workers,
            timeout_seconds=options.timeout_seconds,
        )
        for outcome in outcomes:
            case = outcome.item
            if outcome.result is None:
                failures.append(f"{case.container}, {case.damage}, {case.path.stem}")
                print(f"{outcome.failure}: {failures[-1]}", file=sys.stderr)
            else:
                results.append((case, outcome.result))
                if outcome.result.outcome == WRONG:
                    failures.append(f"{case.container}, {case.damage}, {case.path.stem}")
                    print(f"wrong pictures: {failures[-1]}", file=sys.stderr)
            case.path.unlink()
    text = report(results, time.monotonic() - start, options.seed)
    text += f"\n{len(failures)} hung, crashed, raised another error, or were served wrong.\n"
    print(text)
    if options.output is not None:
        options.output.write_text(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
