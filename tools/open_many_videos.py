"""Open videos thousands of times, good and bad ones: memory and open files must not grow.

    python tools/open_many_videos.py --num_good 2000 --num_bad 500 \\
        --output docs/results/decoder_opens.md

Exits with 1 where memory grew by more than `--limit_mib`, or any file stayed open.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

from stvit_video.errors import VideoDecodeError
from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import numbered_picture, write_pictures

NUM_PICTURES = 30


class Growth(NamedTuple):
    """What a series of opens left behind."""

    backend: str
    kind: str
    num_opens: int
    memory_mib: float
    num_files: int
    """File descriptors that stayed open."""
    milliseconds: float
    """Of one open, read of 4 frames and close."""


def open_good(path: Path, backend: str) -> None:
    """Open, read 4 frames, close."""
    with open_video(path, backend=backend) as decoder:
        decoder.frames([0, 7, 14, 21])


def open_bad(path: Path, backend: str) -> None:
    """Open what is no whole video."""
    try:
        open_good(path, backend)
    except VideoDecodeError:
        return
    raise AssertionError(f"{path.name} was read by {backend}")


def measure(
    use: Callable[[Path, str], None], paths: list[Path], backend: str, num_opens: int
) -> Growth:
    """Use the files in turn; the first tenth of the opens fills caches and does not count."""
    num_warmup = max(num_opens // 10, 2 * len(paths))
    memory, files = 0.0, 0
    start = time.monotonic()
    for number in range(num_warmup + num_opens):
        if number == num_warmup:
            gc.collect()
            memory, files, start = _memory_mib(), _num_open_files(), time.monotonic()
        use(paths[number % len(paths)], backend)
    seconds = time.monotonic() - start
    gc.collect()
    return Growth(
        backend=backend,
        kind="good" if use is open_good else "bad",
        num_opens=num_opens,
        memory_mib=round(_memory_mib() - memory, 1),
        num_files=_num_open_files() - files,
        milliseconds=round(1000 * seconds / num_opens, 2),
    )


def write_videos(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write two whole videos that both decoders read, and five that nobody should."""
    good = [folder / "a.mp4", folder / "a.webm"]
    for path, codec in zip(good, ("libx264", "libvpx-vp9"), strict=True):
        pictures = (numbered_picture(i, width=160, height=128) for i in range(NUM_PICTURES))
        how = {"g": "12", "x264-params": "log=-1"} if path.suffix == ".mp4" else {"g": "12"}
        write_pictures(path, pictures, codec=codec, options=how)
    data = good[0].read_bytes()
    contents = {
        "empty.mp4": b"",
        "words.mp4": b"no pictures " * 99,
        "cut.mp4": data[: len(data) // 2],
        "cut.webm": good[1].read_bytes()[: good[1].stat().st_size // 2],
        "headless.mp4": data.replace(b"moov", b"junk"),
    }
    bad = [folder / name for name in contents]
    for path in bad:
        path.write_bytes(contents[path.name])
    return good, bad


def _memory_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _num_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def report(rows: list[Growth]) -> str:
    """Write the table."""
    lines = [
        "# Many opens in one process",
        "",
        "Growth of resident memory and of open files over the opens, after a warm-up of a tenth.",
        f"Made by `python tools/open_many_videos.py` on {date.today().isoformat()}.",
        "",
        "| backend | files | opens | memory grew, MiB | files left open | ms an open |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.backend} | {r.kind} | {r.num_opens} | {r.memory_mib} | {r.num_files}"
        f" | {r.milliseconds} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Open, measure, report; 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_good", type=int, default=2000)
    parser.add_argument("--num_bad", type=int, default=500)
    parser.add_argument("--limit_mib", type=float, default=8.0)
    parser.add_argument("--backends", nargs="+", default=["auto", "decord", "pyav"])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        good, bad = write_videos(Path(folder))
        for backend in options.backends:
            rows.append(measure(open_good, good, backend, options.num_good))
            rows.append(measure(open_bad, bad, backend, options.num_bad))
    text = report(rows)
    print(text)
    if options.output is not None:
        options.output.write_text(text)
    has_grown = any(row.memory_mib > options.limit_mib or row.num_files for row in rows)
    return 1 if has_grown else 0


if __name__ == "__main__":
    sys.exit(main())
