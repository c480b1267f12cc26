"""Time what feeds the device: clips per second from video files to batches, all cores at work.

    python tools/benchmark_feed.py            # every core but one; writes docs/results/feed.md
    python tools/benchmark_feed.py --workers 4 --videos 8

Contenders serve the same uint8 clips of 16x224x224 from the same files and take turns: our loader
by each decoder and with four clips a video, a data set that decodes in the worker as VideoMAE's
does (decord), PyTorchVideo's, and bare decoding without a loader. Wall-clock time, so run it alone.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from data_peers import BareDecord, labeled_videos, write_sources
from torch.utils.data import DataLoader

from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.loader import build_loader
from stvit_video.datasets.manifest import VideoRecord, read_manifest
from stvit_video.datasets.upkeep.groups import plan_groups
from stvit_video.datasets.upkeep.prepare_run import run_preparation
from stvit_video.files import write_file
from stvit_video.report.tables import Column, make_table, markdown_text
from stvit_video.settings.encode import EncodeSettings
from stvit_video.settings.model import Preprocessing
from stvit_video.video.decoding.open import open_video
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.sampling.scheme import SamplingScheme

BATCH_SIZE = 8
PREPROCESSING = Preprocessing(num_frames=16, frame_stride=4, image_size=224)
DENSE = SamplingScheme(num_frames=16, frame_stride=4, random=True)
RESULTS = Path(__file__).parents[1] / "docs" / "results"
Pass = Callable[[], Iterator[int]]
"""Starts one pass; yields the clips of each batch."""


def main() -> None:
    """Measure, and write docs/results/feed.json and the table made of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 2) - 1)
    parser.add_argument("--videos", type=int, default=24, help="different videos")
    parser.add_argument("--passes", type=int, default=40, help="times each is read in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), options.videos, options.workers)
        contenders = {
            f"{kind}: {name}": run
            for kind, records in files.items()
            for name, run in all_contenders(records * options.passes, options.workers).items()
        }
        result = {
            "conditions": conditions(options, files),
            "clips_per_second": take_turns(contenders, options.rounds, options.workers),
        }
    write_file(options.output / "feed.json", json.dumps(result, indent=1) + "\n")
    write_file(options.output / "feed.md", render(result))


def write_files(
    folder: Path, num_videos: int, num_workers: int
) -> dict[str, tuple[VideoRecord, ...]]:
    """Write 10 s of 340x256 per video, as x264 does by default and as `data prepare` does."""
    sources = write_sources(folder / "source", num_videos=num_videos, width=340, height=256)
    run_preparation(
        sources,
        folder / "prepared",
        encode=EncodeSettings(),
        groups=plan_groups("any", stride=None, gop=None),
        num_workers=num_workers,
        timeout_seconds=600,
        fresh=False,
    )
    prepared = read_manifest(folder / "prepared" / "manifest.csv").records
    return {"source": find_class_folders(sources).records, "prepared": prepared}


def all_contenders(records: tuple[VideoRecord, ...], num_workers: int) -> dict[str, Pass]:
    """Name everything that is timed on one kind of file."""
    transform = build_transform(PREPROCESSING, normalize=False)
    quarter = records[: len(records) // 4]
    decord = BareDecord(records, DENSE, transform)
    return {
        "bare decoding": lambda: decode_alone(records, num_workers),
        "ours, auto": lambda: ours(records, num_workers),
        "ours, pyav": lambda: ours(records, num_workers, backend="pyav"),
        "ours, 4 clips a video": lambda: ours(quarter, num_workers, clips=4),
        "decord in the worker": lambda: batches(decord, num_workers),
        "PyTorchVideo": lambda: batches(
            labeled_videos(known(records), DENSE, transform, decoder="pyav"), num_workers
        ),
    }


def ours(
    records: Sequence[VideoRecord], num_workers: int, *, backend: str = "auto", clips: int = 1
) -> Iterator[int]:
    """Read by our loader, opened once for all clips of a video."""
    dataset = VideoDataset(
        records,
        sample=SamplingScheme(num_frames=16, frame_stride=4, random=True, num_clips=clips),
        transform=build_transform(PREPROCESSING, normalize=False),
        num_clips=clips,
        whole_videos=clips > 1,
        backend=backend,
    )
    loader = build_loader(
        dataset, batch_size=BATCH_SIZE // clips, num_workers=num_workers, shuffle=True, seed=0
    )
    for batch in loader:
        yield len(batch.label)


def batches(dataset: Any, num_workers: int) -> Iterator[int]:
    """Read by torch's loader, as the peers do."""
    loader = DataLoader(
        dataset,
        batch_size=BATCH_SIZE,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        yield len(batch["video"] if isinstance(batch, dict) else batch[0])


def decode_alone(records: Sequence[VideoRecord], num_workers: int) -> Iterator[int]:
    """Open and decode in processes; no crop, no batch, nothing handed over but a count."""
    paths = [record.path for record in records]
    with ProcessPoolExecutor(num_workers) as pool:
        yield from pool.map(_decode, paths, range(len(paths)), chunksize=BATCH_SIZE)


def _decode(path: Path, seed: int) -> int:
    torch.set_num_threads(1)
    with open_video(path, backend="pyav") as decoder:
        generator = torch.Generator().manual_seed(seed)
        decoder.frames(DENSE(decoder.num_frames, fps=30.0, generator=generator)[0])
    return 1


def known(records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """Fill in the frames and rate that PyTorchVideo's clips need; all files are 10 s at 30 fps."""
    counts: dict[Path, int] = {}
    for record in records:
        if record.path not in counts:
            with open_video(record.path) as decoder:
                counts[record.path] = decoder.num_frames
    return [record._replace(num_frames=counts[record.path], fps=30.0) for record in records]


def take_turns(
    contenders: dict[str, Pass], num_rounds: int, num_workers: int
) -> dict[str, list[float]]:
    """Clips per second of each contender in each round, after two batches of each worker."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(num_rounds):
        for name, begin in contenders.items():
            start, clips = 0.0, 0
            for number, count in enumerate(begin()):
                if number < 2 * num_workers:
                    start = time.perf_counter()
                else:
                    clips += count
            speeds[name].append(round(clips / (time.perf_counter() - start), 1))
            print(name, speeds[name][-1], flush=True)
    return speeds


def conditions(
    options: argparse.Namespace, files: dict[str, tuple[VideoRecord, ...]]
) -> dict[str, Any]:
    """Say what it was measured on."""
    sizes = {
        kind: round(sum(r.path.stat().st_size for r in records) / len(records) / 1e3)
        for kind, records in files.items()
    }
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "processor": f"{os.cpu_count()} cores, {platform.machine()}",
        "workers": options.workers,
        "rounds": options.rounds,
        "clips_per_round": options.videos * options.passes,
        "kilobytes_per_video": sizes,
        "versions": {name: version(name) for name in ("torch", "av", "decord", "torchdata")},
    }


def render(result: dict[str, Any]) -> str:
    """Write the table as Markdown."""
    told, speeds = result["conditions"], result["clips_per_second"]
    rows = []
    for name, figures in speeds.items():
        kind, _, contender = name.partition(": ")
        bare = statistics.median(speeds[f"{kind}: bare decoding"])
        median = statistics.median(figures)
        rows.append([kind, contender, median, min(figures), max(figures), median / bare])
    number = Column(title="clips/s", format=".0f")
    columns: list[Column | str] = [
        *("files", "what reads", number),
        Column(title="least", format=".0f"),
        Column(title="most", format=".0f"),
        Column(title="of bare decoding", format=".2f"),
    ]
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    sizes = ", ".join(f"{kind} {size} kB" for kind, size in told["kilobytes_per_video"].items())
    note = (
        f"{told['date']}, {told['processor']}, {told['workers']} workers, medians of"
        f" {told['rounds']} rounds in turns, {told['clips_per_round']} clips a round, batches of"
        f" {BATCH_SIZE}. 10 s of 340x256 at 30 fps: {sizes} a video, in the file cache. {versions}."
        " PyTorchVideo cannot decode fewer frames than a clip spans."
    )
    table = make_table("Clips per second from files", columns, rows, note=note)
    return (
        "# Feeding the device\n\nWritten by `tools/benchmark_feed.py`; do not edit.\n\n"
        + markdown_text(table)
    )


if __name__ == "__main__":
    main()
