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
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from data_peers import (
    BareDecord,
    BareTorchcodec,
    has_torchcodec,
    labeled_videos,
    write_sources,
)
from result_page import RESULTS, write_page
from torch.utils.data import DataLoader

from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.index_store import IndexStore
from stvit_video.datasets.loader import build_loader
from stvit_video.datasets.manifest import read_manifest
from stvit_video.datasets.records import Records, VideoRecord
from stvit_video.datasets.upkeep.groups import plan_groups
from stvit_video.datasets.upkeep.prepare_run import run_preparation
from stvit_video.datasets.upkeep.scan_run import run_scan
from stvit_video.files import write_file
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.settings.encode import EncodeSettings
from stvit_video.settings.model import Preprocessing
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.pixels.transform import ClipTransform
from stvit_video.video.read_clip import read_sampled
from stvit_video.video.sampling.scheme import SamplingScheme

BATCH_SIZE = 8
PREPROCESSING = Preprocessing(num_frames=16, frame_stride=4, image_size=224)
WAYS = {
    "dense": SamplingScheme(num_frames=16, frame_stride=4, random=True),
    "segments": SamplingScheme(kind="segments", num_frames=16, random=True),
}
Pass = Callable[[], Iterator[int]]
"""Starts one pass; yields the clips of each batch."""


def main() -> None:
    """Measure, and write docs/results/feed.json and the table made of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 2) - 1)
    parser.add_argument("--videos", type=int, default=24, help="different videos")
    parser.add_argument("--passes", type=int, default=200, help="times each is read at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each contender and round")
    parser.add_argument("--only", default="", help="pattern of the rows to measure")
    parser.add_argument("--files", type=Path, help="folder of videos to keep, or made before")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(options.files or Path(folder), options.videos, options.workers)
        found = all_contenders(files, passes=options.passes, num_workers=options.workers)
        contenders = {
            name: run for name, run in found.items() if re.search(options.only, " ".join(name))
        }
        result: dict[str, Any] = {"conditions": conditions(options, files)}
        old = options.output / "feed.json"
        kept = json.loads(old.read_text())["clips_per_second"] if options.only else []
        for speeds in take_turns(contenders, options):
            new = [[*name, figures] for name, figures in speeds.items()]
            rows = [row for row in kept if tuple(row[:3]) not in speeds] + new
            rows.sort(key=lambda row: list(found).index(tuple(row[:3])))
            result["clips_per_second"] = rows
            result["conditions"]["rounds"] = len(next(iter(speeds.values())))
            write_file(options.output / "feed.json", json.dumps(result, indent=1) + "\n")
            write_page(
                options.output / "feed.md",
                "Feeding the device",
                render(result),
                tool=__file__,
            )


def write_files(folder: Path, num_videos: int, num_workers: int) -> dict[str, Records]:
    """Write 10 s of 340x256 per video: as x264 does by default, and prepared for both readings."""
    listing = {
        "source": folder / "source.csv",
        "dense": folder / "dense" / "manifest.csv",
        "segments": folder / "segments" / "manifest.csv",
    }
    if not all(path.exists() for path in listing.values()):
        sources = write_sources(folder / "source", num_videos=num_videos, width=340, height=256)
        settings = {"num_workers": num_workers, "timeout_seconds": 600, "fresh": False}
        run_scan(sources, listing["source"], **settings)
        for purpose, stride in (("dense", 4), ("segments", None)):
            run_preparation(
                sources,
                folder / purpose,
                encode=EncodeSettings(),
                groups=plan_groups(purpose, stride=stride, gop=None),
                **settings,
            )
    return {kind: _records(path) for kind, path in listing.items()}


def _records(manifest: Path) -> Records:
    records = read_manifest(manifest).records
    assert isinstance(records, Records)
    return records


def all_contenders(
    files: dict[str, Records], *, passes: int, num_workers: int
) -> dict[tuple[str, str, str], Pass]:
    """Name everything that is timed: by files, reading and what reads."""
    transform = build_transform(PREPROCESSING, normalize=False)
    contenders: dict[tuple[str, str, str], Pass] = {}
    for kind, way in (
        ("source", "dense"),
        ("dense", "dense"),
        ("segments", "segments"),
    ):
        known, scheme = files[kind], WAYS[way]
        records = known * passes
        store = known.indexes
        some = partial(ours, store=store, scheme=scheme, num_workers=num_workers)
        found = {
            "bare decoding": partial(decode_alone, records, store, scheme, num_workers),
            "ours": partial(some, records),
        }
        if torch.cuda.is_available():  # elsewhere ours does so anyway
            found["ours, RGB in the worker"] = partial(some, records, in_worker=True)
        if way == "dense":
            found["ours, 4 clips a video"] = partial(some, records[: len(records) // 4], clips=4)
        for name, dataset in peers(known, passes, scheme, transform).items():
            found[name] = partial(batches, dataset, num_workers)
        contenders |= {(kind, way, name): run for name, run in found.items()}
    return contenders


def peers(
    known: Records, passes: int, scheme: SamplingScheme, transform: ClipTransform
) -> dict[str, Any]:
    """Return the loaders people use today, on the same files and clips."""
    records = known * passes
    found = {"VideoMAE: decord in the worker": BareDecord(records, scheme, transform)}
    if scheme.kind == "dense":
        found["PyTorchVideo"] = labeled_videos(records, scheme, transform, decoder="pyav")
    if has_torchcodec():
        found["torchcodec's decoder in the worker"] = BareTorchcodec(records, scheme, transform)
    return found


def ours(
    records: Sequence[VideoRecord],
    *,
    store: IndexStore | None,
    scheme: SamplingScheme,
    num_workers: int,
    in_worker: bool = False,
    clips: int = 1,
) -> Iterator[int]:
    """Read by our loader, opened once for all clips of a video; on the GPU where there is one."""
    on_gpu = torch.cuda.is_available() and not in_worker
    dataset = VideoDataset(
        records,
        sample=replace(scheme, num_clips=clips),
        transform=build_transform(PREPROCESSING, normalize=False, ship_planes=on_gpu),
        num_clips=clips,
        whole_videos=clips > 1,
    )
    dataset.indexes = store
    loader = build_loader(
        dataset, batch_size=BATCH_SIZE // clips, num_workers=num_workers, shuffle=True, seed=0
    ).on(torch.device("cuda" if on_gpu else "cpu"))
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


def decode_alone(
    records: Sequence[VideoRecord],
    store: IndexStore | None,
    scheme: SamplingScheme,
    num_workers: int,
) -> Iterator[int]:
    """Open and decode to RGB in processes; no crop, no batch, nothing handed over but a count."""
    decode = partial(_decode, store=store, scheme=scheme)
    pool = ProcessPoolExecutor(num_workers)
    try:
        yield from pool.map(decode, records, range(len(records)), chunksize=BATCH_SIZE)
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(
    record: VideoRecord, seed: int, *, store: IndexStore | None, scheme: SamplingScheme
) -> int:
    torch.set_num_threads(1)
    index = store.find(record.path) if store else None
    generator = torch.Generator().manual_seed(seed)
    step = record.start_step
    read_sampled(record.path, scheme, generator=generator, start_step=step, index=index)
    return 1


def bytes_per_clip(files: dict[str, Records]) -> dict[str, dict[str, float]]:
    """Share of its file that one clip reads, and opens of it, one clip a file."""
    shares = {}
    for kind, records in files.items():
        scheme = WAYS["segments" if kind == "segments" else "dense"]
        num_read = num_bytes = 0
        for seed, record in enumerate(records):
            before = _bytes_read()
            _decode(record, seed, store=records.indexes, scheme=scheme)
            num_read += _bytes_read() - before
            num_bytes += record.path.stat().st_size
        shares[kind] = round(num_read / num_bytes, 3)
    return shares


def _bytes_read() -> int:
    """Bytes that this process has asked the system to read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].removeprefix("rchar: "))


def take_turns(
    contenders: dict[tuple[str, str, str], Pass], options: argparse.Namespace
) -> Iterator[dict[tuple[str, str, str], list[float]]]:
    """After each round, clips per second of each contender in each, without a warm-up."""
    speeds: dict[tuple[str, str, str], list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, begin in contenders.items():
            speeds[name].append(round(clips_per_second(begin(), options), 1))
            print(*name, speeds[name][-1], flush=True)
        yield speeds


def clips_per_second(counts: Iterator[int], options: argparse.Namespace) -> float:
    """Read for some seconds, or to the end, after two batches of each worker.

    Batches come in bursts, one of each worker: whole bursts count.
    """
    start, clips, now = 0.0, 0, 0.0
    for number, count in enumerate(counts):
        now = time.perf_counter()
        if number <= 2 * options.workers:
            start = now
        else:
            clips += count
            is_whole = number % options.workers == 0
            if is_whole and now > start + options.seconds and number >= 4 * options.workers:
                break
    counts.close()  # type: ignore[attr-defined]
    return clips / (now - start)


def conditions(options: argparse.Namespace, files: dict[str, Records]) -> dict[str, Any]:
    """Say what it was measured on."""
    sizes = {
        kind: round(sum(r.path.stat().st_size for r in records) / len(records) / 1e3)
        for kind, records in files.items()
    }
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "processor": f"{os.cpu_count()} cores, {platform.machine()}, {device}",
        "workers": options.workers,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "kilobytes_per_video": sizes,
        "bytes_per_clip": bytes_per_clip(files),
        "versions": {name: version(name) for name in ("torch", "av", "decord")},
    }


def render(result: dict[str, Any]) -> Table:
    """Make the table."""
    told = result["conditions"]
    medians = {tuple(row[:3]): statistics.median(row[3]) for row in result["clips_per_second"]}
    rows = []
    for kind, way, name, figures in result["clips_per_second"]:
        median = medians[kind, way, name]
        ratio = median / medians.get((kind, way, "bare decoding"), float("nan"))
        rows.append([kind, way, name, median, min(figures), max(figures), ratio])
    number = Column(title="clips/s", format=".0f")
    columns: list[Column | str] = [
        *("files", "read", "what reads", number),
        Column(title="least", format=".0f"),
        Column(title="most", format=".0f"),
        Column(title="of bare decoding", format=".2f"),
    ]
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    sizes = ", ".join(f"{kind} {size} kB" for kind, size in told["kilobytes_per_video"].items())
    shares = ", ".join(f"{kind} {share}" for kind, share in told["bytes_per_clip"].items())
    note = (
        f"{told['date']}, {told['processor']}, {told['workers']} workers, medians of"
        f" {told['rounds']} rounds in turns of {told['seconds']:g} s, batches of"
        f" {BATCH_SIZE}, 16 frames at stride 4 (dense) or of 16 parts (segments). 10 s of 340x256"
        f" at 30 fps: {sizes} a video, in the file cache; prepared for the reading. Bytes that a"
        f" clip reads, as a share of its file: {shares}. {versions}. PyTorchVideo cannot decode"
        " fewer frames than a clip spans."
    )
    return make_table("Clips per second from files", columns, rows, note=note)


if __name__ == "__main__":
    main()
