"""Time reading clips side by side: ours, a bare decord loop, PyTorchVideo with both its decoders.

Run by hand: `python tools/benchmark_data.py`. Writes docs/results/data.json and, from it,
docs/results/data.md. All contenders decode the same frames of the same files and hand over the same
uint8 clips of 16x224x224, in one process, in turns.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import decord
import torch
from data_peers import BareDecord, labeled_videos, write_sources
from torch.utils.data import DataLoader

from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.coverage import open_videos
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.loader import build_loader
from stvit_video.datasets.manifest import Manifest, VideoRecord, read_manifest
from stvit_video.datasets.upkeep.groups import plan_groups
from stvit_video.datasets.upkeep.prepare_run import run_preparation
from stvit_video.files import write_file
from stvit_video.settings.encode import EncodeSettings
from stvit_video.settings.model import Preprocessing
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.sampling.scheme import SamplingScheme

BATCH_SIZE = 4
PREPROCESSING = Preprocessing(num_frames=16, frame_stride=4, image_size=224)
SCHEMES = {
    "16x4 dense": SamplingScheme(num_frames=16, frame_stride=4, random=True),
    "16 uniform": SamplingScheme(kind="uniform", num_frames=16),
}
RESULTS = Path(__file__).parents[1] / "docs" / "results"
Contender = Callable[[], Iterable[Any]]
"""Starts one pass over the videos: batches whose first or `video` field holds clips."""


def main() -> None:
    """Measure, or with --render only write the table again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=8, help="different videos")
    parser.add_argument("--passes", type=int, default=3, help="passes over them in one timing")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every contender")
    parser.add_argument("--cores", type=int, nargs="*", default=[0], help="cores to run on")
    parser.add_argument("--size", default="640x360", help="of the source videos")
    parser.add_argument("--folder", type=Path, help="where the videos are kept for the next time")
    parser.add_argument("--render", action="store_true", help="only write the table again")
    options = parser.parse_args()
    stored = RESULTS / "data.json"
    results = json.loads(stored.read_text()) if stored.exists() else {}
    if not options.render:
        os.sched_setaffinity(0, options.cores)
        torch.set_num_threads(1)
        results[options.size] = measure_all(options)
        write_file(RESULTS / "data.json", json.dumps(results, indent=1) + "\n")
    write_file(RESULTS / "data.md", render(results))


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    """Write the videos, prepare them, and time every case."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        sources = write_sources(
            folder / "source",
            num_videos=options.videos,
            width=int(options.size.split("x")[0]),
            height=int(options.size.split("x")[1]),
        )
        manifests = {"source": _opened(find_class_folders(sources))}
        run_preparation(
            sources,
            folder / "prepared",
            encode=EncodeSettings(),
            groups=plan_groups("any", stride=None, gop=None),
            num_workers=1,
            timeout_seconds=600,
            fresh=False,
        )
        manifests["prepared"] = _opened(read_manifest(folder / "prepared" / "manifest.csv"))
        cases = {}
        for scheme_name, scheme in SCHEMES.items():
            contenders = {}
            for files, manifest in manifests.items():
                records = manifest.records * options.passes
                for name, contender in _contenders(records, scheme).items():
                    contenders[f"{files}: {name}"] = contender
            cases[scheme_name] = _in_turns(contenders, options.rounds)
        cases["5x3 views"] = _in_turns(
            _view_contenders(manifests["source"].records), options.rounds
        )
        return {"conditions": _conditions(options, manifests), "cases": cases}


def _contenders(records: tuple[VideoRecord, ...], scheme: SamplingScheme) -> dict[str, Contender]:
    transform = build_transform(PREPROCESSING, normalize=False)
    ours = VideoDataset(records, sample=scheme, transform=transform)
    contenders: dict[str, Contender] = {
        "bare decord": lambda: DataLoader(
            BareDecord(records, scheme, transform), batch_size=BATCH_SIZE, num_workers=0
        ),
        "ours": lambda: build_loader(
            ours, shuffle=False, seed=0, batch_size=BATCH_SIZE, num_workers=0
        ),
    }
    for decoder in ("decord", "pyav"):
        contenders[f"PyTorchVideo {decoder}"] = lambda decoder=decoder: DataLoader(
            labeled_videos(records, scheme, transform, decoder=decoder),
            batch_size=BATCH_SIZE,
            num_workers=0,
        )
    return contenders


def _view_contenders(records: tuple[VideoRecord, ...]) -> dict[str, Contender]:
    def loader(whole_videos: bool) -> Iterable[Any]:
        dataset = VideoDataset(
            records,
            sample=SamplingScheme(num_frames=16, frame_stride=4, num_clips=5),
            transform=build_transform(PREPROCESSING, num_crops=3, normalize=False),
            num_clips=5,
            num_crops=3,
            whole_videos=whole_videos,
        )
        batch_size = 1 if whole_videos else 15
        return build_loader(dataset, batch_size=batch_size, num_workers=0, shuffle=False, seed=0)

    return {
        "opened for every view": lambda: loader(False),
        "opened once": lambda: loader(True),
    }


def _in_turns(contenders: dict[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Clips per second of processor time of every contender in every round.

    Contenders take turns batch by batch, so that whatever else the machine does hits all alike. The
    first round, and the first batch of each, are thrown away.
    """
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        iterators = {name: iter(contender()) for name, contender in contenders.items()}
        seconds = dict.fromkeys(contenders, 0.0)
        clips = dict.fromkeys(contenders, 0)
        for batch in itertools.count():
            for name, iterator in list(iterators.items()):
                start = time.process_time()
                item = next(iterator, None)
                if item is None:
                    del iterators[name]
                elif batch:
                    seconds[name] += time.process_time() - start
                    clips[name] += len(item["video"] if isinstance(item, dict) else item[0])
            if not iterators:
                break
        for name in contenders if turn else ():
            speeds[name].append(round(clips[name] / seconds[name], 3))
        print(turn, {name: figures[-1:] for name, figures in speeds.items()}, flush=True)
    return speeds


def render(results: dict[str, Any]) -> str:
    """Write the results of all sizes as Markdown."""
    lines = [
        "# Reading clips: clips per second",
        "",
        "Written by `tools/benchmark_data.py` from `data.json`; do not edit.",
        "",
        "Clips per second of processor time, all threads of the process. Every contender reads the",
        "same frames and hands over uint8 clips of 16x224x224. A cell is the median over the",
        "rounds (least - most).",
    ]
    for size in sorted(results):
        lines += ["", f"## Source files of {size}", "", *_section(**results[size])]
    return "\n".join(lines) + "\n"


def _section(conditions: dict[str, Any], cases: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in conditions["versions"].items())
    files = "; ".join(f"{name} {what}" for name, what in conditions["files"].items())
    lines = [
        f"{conditions['date']}, {conditions['processor']}, {conditions['cores']} core(s),"
        f" one process, {conditions['rounds']} rounds in turns batch by batch,"
        f" {conditions['clips_per_timing']} clips a round. {versions}. Files: {files}.",
        "",
        "| case | files | bare decord | ours | PyTorchVideo decord | PyTorchVideo pyav |"
        " ours / bare | ours / best PyTorchVideo |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for scheme in SCHEMES:
        for files in ("source", "prepared"):
            lines.append(_row(scheme, files, cases[scheme]))
    lines += ["", "| ratio, of the same round | target | median (least - most) |", "|---|---|---|"]
    for scheme in SCHEMES:
        case = cases[scheme]
        ratios = _ratios(case["prepared: ours"], case["source: ours"])
        lines.append(f"| {scheme}: prepared / source files | 2 | {_spread(ratios)} |")
    views = _ratios(cases["5x3 views"]["opened once"], cases["5x3 views"]["opened for every view"])
    return [*lines, f"| 5x3 views: opened once / for every view | 3 | {_spread(views)} |"]


def _row(scheme: str, files: str, case: dict[str, list[float]]) -> str:
    names = ("bare decord", "ours", "PyTorchVideo decord", "PyTorchVideo pyav")
    speeds = [case[f"{files}: {name}"] for name in names]
    bare, ours, *peers = speeds
    cells = [_spread(speed, digits=1) for speed in speeds]
    best = max(peers, key=statistics.median)
    ratios = [_spread(_ratios(ours, bare)), _spread(_ratios(ours, best))]
    return f"| {' | '.join([scheme, files, *cells, *ratios])} |"


def _ratios(values: list[float], others: list[float]) -> list[float]:
    return [value / other for value, other in zip(values, others, strict=True)]


def _spread(values: list[float], *, digits: int = 2) -> str:
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def _opened(manifest: Manifest) -> Manifest:
    return Manifest(tuple(open_videos(manifest.records, num_workers=1)), manifest.class_names)


def _conditions(options: argparse.Namespace, manifests: dict[str, Manifest]) -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(options.cores),
        "rounds": options.rounds,
        "clips_per_timing": options.videos * options.passes - BATCH_SIZE,
        "files": {
            files: f"{r.width}x{r.height}, {r.num_frames} frames, {r.codec}"
            for files, manifest in manifests.items()
            for r in manifest.records[:1]
        },
        "versions": {
            name: version(name) for name in ("torch", "torchvision", "decord", "av", "pytorchvideo")
        },
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    decord.logging.set_level(decord.logging.QUIET)
    main()
