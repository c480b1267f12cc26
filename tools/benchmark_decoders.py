"""Time the decoders by kind of file and way of reading, all cores at work.

    python tools/benchmark_decoders.py        # writes docs/results/decoders.md

What `auto` takes is read off this table. Each process opens, reads and closes; files are known, as
after a scan. Wall-clock time, so run it alone.
"""

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import torch
from data_peers import has_torchcodec, write_sources
from result_page import RESULTS, date_and_machine, spread_percent, versions, write_page

from stvit_video.datasets.upkeep.groups import plan_groups
from stvit_video.datasets.upkeep.prepare_run import run_preparation
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.encode import EncodeSettings
from stvit_video.video.decoding.open import open_video, read_frames
from stvit_video.video.numbered import write_pictures
from stvit_video.video.read_clip import read_sampled
from stvit_video.video.sampling.scheme import SamplingScheme

BACKENDS = ("pyav", "decord", "torchcodec")
WAYS = {
    "dense": SamplingScheme(num_frames=16, frame_stride=4, random=True),
    "segments": SamplingScheme(kind="segments", num_frames=16, random=True),
    "whole": None,
}


def main() -> None:
    """Measure, and write docs/results/decoders.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=Path, help="folder of videos to keep, or made before")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.workers) as pool:
        backends = BACKENDS if has_torchcodec() else BACKENDS[:-1]
        for (kind, paths), way in product(write_kinds(options.files or Path(folder)).items(), WAYS):
            speeds: dict[str, list[float]] = {name: [] for name in backends}
            for _ in range(options.rounds):
                for name in backends:
                    read = partial(read_for, options.seconds, paths, name, way)
                    speeds[name].append(sum(pool.map(read, range(options.workers))))
            medians = {name: statistics.median(figures) for name, figures in speeds.items()}
            spread = max(spread_percent(figures) for figures in speeds.values())
            fastest = max(medians, key=lambda name: medians[name])
            cells = [medians.get(name) for name in BACKENDS]
            rows.append([kind, way, *cells, fastest, spread])
            print(*rows[-1], flush=True)
    write_page(
        options.output / "decoders.md",
        "Decoders",
        render(rows, options),
        tool=__file__,
    )


def write_kinds(folder: Path) -> dict[str, list[Path]]:
    """Write four to eight files of each kind, ten seconds each."""
    small = write_sources(folder / "small", num_videos=8, width=340, height=256)
    large = write_sources(folder / "large", num_videos=4, width=1280, height=720)
    kinds = {
        "h264 340x256": sorted(small.glob("*/*")),
        "h264 1280x720": sorted(large.glob("*/*")),
        "vp9 340x256": _as_vp9(sorted(small.glob("*/*")), folder / "vp9"),
    }
    for purpose in ("any", "dense", "segments"):
        target = folder / purpose
        run_preparation(
            small,
            target,
            encode=EncodeSettings(),
            groups=plan_groups(purpose, stride=4 if purpose == "dense" else None, gop=None),
            num_workers=0,
            timeout_seconds=600,
            fresh=False,
        )
        kinds[f"prepared for {purpose}"] = sorted(target.glob("*/*.mp4"))
    return kinds


def _as_vp9(sources: list[Path], folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    targets = [folder / f"{source.stem}.webm" for source in sources]
    with ProcessPoolExecutor() as pool:
        list(pool.map(_write_vp9, sources, targets))
    return targets


def _write_vp9(source: Path, target: Path) -> None:
    if target.exists():
        return
    frames = read_frames(source, range(300)).numpy()
    options = {"g": "128", "cpu-used": "8"}
    write_pictures(target, frames, codec="libvpx-vp9", fps=30, options=options)


def read_for(seconds: float, paths: list[Path], backend: str, way: str, worker: int) -> float:
    """Read clips for some seconds; return clips a second."""
    torch.set_num_threads(1)
    indexes = {}
    for path in paths:
        with open_video(path, backend="pyav") as decoder:
            indexes[path] = decoder.index  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(worker)
    scheme, count = WAYS[way], 0
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        path = paths[(worker + count) % len(paths)]
        how = {"backend": backend, "index": indexes[path]}
        if scheme is None:
            with open_video(path, **how) as decoder:
                decoder.frames(range(decoder.num_frames))
        else:
            step = 4 if "dense" in str(path) else 1
            read_sampled(path, scheme, generator=generator, start_step=step, **how)
        count += 1
    return count / (time.perf_counter() - start)


def render(rows: list[list[object]], options: argparse.Namespace) -> Table:
    """Make the table."""
    number = partial(Column, format=".0f")
    columns: list[Column | str] = ["files", "read", *(number(title=name) for name in BACKENDS)]
    columns += ["fastest", Column(title="spread %", format=".0f")]
    note = (
        f"{date_and_machine()}, {options.workers} processes, medians of {options.rounds} rounds in"
        f" turns. Clips a second of 16 frames at stride 4 from a random start (dense), 16 frames of"
        f" 16 parts (segments), or all 300 (whole), to RGB. Files of 10 s at 30 fps."
        f" {versions('av', 'decord', 'torch')}."
    )
    return make_table("Clips per second by decoder", columns, rows, note=note)


if __name__ == "__main__":
    main()
