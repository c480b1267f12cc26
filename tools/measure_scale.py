"""Measure how long a large data set takes to start, and what memory its workers take.

    python tools/measure_scale.py       # 100k, 650k, 10 M rows; writes docs/results/scale.md
    python tools/measure_scale.py --rows 1000 --groups 2x2 --items 100 --output folder

Manifest, records, sampler and loader are ours; only the decoding is left out: an item is its
record. Memory is proportional (PSS): what processes share counts once. Beside the columns the same
records as a tuple of objects, up to `--most_plain` rows. Linux only.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from result_page import write_page
from torch import distributed

from stvit_video.datasets.clips import Item, Sample, VideoDataset
from stvit_video.datasets.loader import VideoLoader, build_loader
from stvit_video.datasets.manifest import check_labels, read_manifest
from stvit_video.datasets.records import VideoRecord
from stvit_video.datasets.sampler import ItemKey
from stvit_video.files import write_file
from stvit_video.report.tables import Column, Table, make_table

NUM_CLASSES = 700
BATCH_SIZE = 32
RESULTS = Path(__file__).parents[1] / "docs" / "results"


class Case(NamedTuple):
    """What is measured at once."""

    num_rows: int
    kind: str
    """`columns`, as a manifest is read, or `tuple` of the same records."""
    num_ranks: int
    num_workers: int
    """Of each rank."""
    method: str
    """How workers start."""
    num_items: int
    """That each worker serves, of as many epochs as it takes."""


class Figures(NamedTuple):
    """Seconds of the slowest rank; MiB of all ranks and their workers."""

    read_seconds: float
    """To read the manifest and check its labels."""
    first_batch_seconds: float
    """To order the epoch, start the workers and get a batch."""
    ranks_mib: float
    """Of the ranks before they read: Python, torch and our package."""
    records_mib: float
    """That reading the manifest added."""
    first_mib: float
    """That the workers added by the first batch."""
    served_mib: float
    """That they have added after all items."""
    worker_mib: float
    """Of one worker then, shared with nobody: mean."""


class RecordsOnly(VideoDataset):
    """Serves the record of a video in the place of its clip."""

    def read(self, key: int | ItemKey) -> Item:
        """Look the record up."""
        assert isinstance(key, ItemKey)
        record = self.records[key.item]
        return Sample(torch.tensor(len(str(record.path))), record.label, key.item, 0)


def main() -> None:
    """Measure every case in processes of its own; write scale.json and the table made of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 650_000, 10_000_000])
    parser.add_argument("--groups", nargs="+", default=["1x4", "8x12"], help="ranks x workers")
    parser.add_argument("--most_plain", type=int, default=650_000, help="rows as a tuple")
    parser.add_argument("--most_grouped", type=int, default=650_000, help="rows of several ranks")
    parser.add_argument("--items", type=int, default=20_000, help="that each worker serves")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--remark", default="", help="sentence to add to the conditions")
    parser.add_argument("--rank", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        print(json.dumps(measure_rank(**json.loads(options.rank))))
        return
    results = []
    for num_rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest.csv"
            write_rows(path, num_rows)
            for case in cases(options, num_rows):
                figures = measure_case(path, case)
                print(case, figures, sep="\n    ", flush=True)
                results.append(case._asdict() | figures._asdict())
    raw = {"conditions": conditions(options), "results": results}
    write_file(options.output / "scale.json", json.dumps(raw, indent=1) + "\n")
    write_page(options.output / "scale.md", "Large data sets", render(raw), tool=__file__)


def write_rows(path: Path, num_rows: int) -> None:
    """Write a manifest as a scan leaves it; its videos do not exist."""
    with path.open("w") as file:
        file.write(",".join(VideoRecord._fields) + "\n")
        for i in range(num_rows):
            name = f"class {i * 7919 % NUM_CLASSES}"
            scanned = f"{250 + i % 60},{(25.0, 29.97003)[i % 2]},340,256,h264,closed,ok,pyav,any"
            file.write(f"{name}/{i:011d}_000010_000020.mp4,{name},{scanned}\n")


def cases(options: argparse.Namespace, num_rows: int) -> list[Case]:
    """List what is measured for one number of rows."""
    found = []
    for group in options.groups:
        ranks, workers = map(int, group.split("x"))
        kinds = ["columns"] if num_rows > options.most_plain or ranks > 1 else ["columns", "tuple"]
        methods = ["fork"] if ranks > 1 else ["fork", "spawn"]
        if ranks == 1 or num_rows <= options.most_grouped:
            found += [
                Case(num_rows, kind, ranks, workers, method, options.items)
                for kind in kinds
                for method in methods
            ]
    return found


def measure_case(path: Path, case: Case) -> Figures:
    """Run the ranks of a case side by side."""
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for rank in range(case.num_ranks):
            told = {"path": str(path), "values": case, "rank": rank, "meeting": f"{folder}/meeting"}
            command = [sys.executable, __file__, "--rank", json.dumps(told)]
            pipe = subprocess.PIPE
            runs.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        answers = [run.communicate() for run in runs]
    if any(run.returncode for run in runs):
        raise RuntimeError("\n".join(error for _, error in answers))
    columns = Figures(*zip(*(json.loads(answer) for answer, _ in answers), strict=True))
    return Figures(
        *(max(values) for values in columns[:2]),
        *(sum(values) for values in columns[2:-1]),
        sum(columns.worker_mib) / case.num_ranks,
    )


def measure_rank(path: str, values: list[Any], rank: int, meeting: str) -> Figures:
    """Do what a training does with its records, as one of its ranks."""
    case = Case(*values)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=case.num_ranks
    )
    ranks_mib, start = _all_mib(), time.perf_counter()
    manifest = read_manifest(path)
    records = manifest.records if case.kind == "columns" else tuple(manifest.records)
    check_labels(records, num_classes=manifest.num_classes)
    read_seconds = time.perf_counter() - start
    del manifest
    read_mib = _all_mib()
    loader = build_loader(
        RecordsOnly(records, sample=_unused, transform=_unused, whole_videos=True),
        batch_size=BATCH_SIZE,
        num_workers=case.num_workers,
        shuffle=True,
        seed=0,
        start_method=case.method,
    )
    start = time.perf_counter()
    batches = iter(loader)
    next(batches)
    first_batch_seconds = time.perf_counter() - start
    first_mib = _all_mib()
    del batches
    serve(loader, case.num_items * case.num_workers)
    served_mib = _all_mib()
    workers = multiprocessing.active_children()
    own = sum(memory_mib(worker.pid, "Private_Dirty") for worker in workers)
    distributed.barrier()
    return Figures(
        read_seconds,
        first_batch_seconds,
        ranks_mib,
        read_mib - ranks_mib,
        first_mib - read_mib,
        served_mib - read_mib,
        own / case.num_workers,
    )


def serve(loader: VideoLoader, num_items: int) -> None:
    """Take batches, of as many epochs as there must be."""
    served = 0
    while served < num_items:
        for batch in loader:
            served += len(batch.label)
            if served >= num_items:
                break


def memory_mib(pid: int | None, kind: str) -> float:
    """Return the memory of a process, counted by the kernel in `smaps_rollup`."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 2**10


def _all_mib() -> float:
    """Memory of this rank and its workers, measured while those of all ranks live."""
    distributed.barrier()
    pids = [os.getpid(), *(worker.pid for worker in multiprocessing.active_children())]
    total = sum(memory_mib(pid, "Pss") for pid in pids)
    distributed.barrier()
    return total


def _unused(*_: object, **__: object) -> Any:
    raise AssertionError("no video is decoded here")


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Say what it was measured on."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "processor": f"{os.cpu_count()} cores, {platform.machine()}",
        "items": options.items,
        "remark": options.remark,
        "versions": {name: version(name) for name in ("torch", "pyarrow")},
    }


def render(raw: dict[str, Any]) -> Table:
    """Make the table."""
    told = raw["conditions"]
    rows = []
    for result in raw["results"]:
        case = Case(**{name: result[name] for name in Case._fields})
        figures = Figures(**{name: result[name] for name in Figures._fields})
        rows.append(
            [
                f"{case.num_rows:,}",
                case.kind,
                f"{case.num_ranks} x {case.num_workers} {case.method}",
                figures.read_seconds,
                figures.first_batch_seconds,
                *figures[2:],
            ]
        )
    mib = {"format": ",.0f"}
    columns: list[Column | str] = [
        *("rows", "records as", "ranks x workers"),
        Column(title="s to read", format=".1f"),
        Column(title="s to 1st batch", format=".1f"),
        Column(title="MiB of ranks", **mib),
        Column(title="+ records", **mib),
        Column(title="+ workers, 1st batch", **mib),
        Column(title="+ workers, end", **mib),
        Column(title="one alone, end", **mib),
    ]
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    note = (
        f"{told['date']}, {told['processor']}; {versions}. A manifest as `data scan` leaves it, in"
        " the file cache. `s to read` is the manifest with its labels checked, `s to 1st batch` the"
        " order of the epoch and the start of the workers. MiB are proportional (PSS), of all ranks"
        " or workers together, and no video is decoded: the ranks before they read (Python, torch,"
        " this package), what the reading added, what the workers add to both at their first batch"
        f" and at the end, when each has served {told['items']:,} items; `alone` is what one"
        " of them then shares with nobody. All of it was measured, once; nothing is extrapolated."
        f" {told['remark']}"
    )
    return make_table("Start and memory by rows", columns, rows, note=note)


if __name__ == "__main__":
    main()
