"""The work of `stvit-video data scan`."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from stvit_video.datasets.index_store import index_path, write_indexes
from stvit_video.datasets.layouts.class_folders import count_left_out, find_class_folders
from stvit_video.datasets.manifest import Manifest, read_manifest, write_manifest
from stvit_video.datasets.upkeep.file_run import TRY_AGAIN, FileRun, WorkerError
from stvit_video.datasets.upkeep.file_states import read_states
from stvit_video.datasets.upkeep.journal import Journal
from stvit_video.datasets.upkeep.scan import ScanResult, packed_indexes, scan_video
from stvit_video.datasets.upkeep.scanned import ScanSummary, scanned_manifest, summarise_scan
from stvit_video.datasets.upkeep.stopping import stoppable
from stvit_video.errors import DatasetError
from stvit_video.files import write_file
from stvit_video.report.counts import counted
from stvit_video.report.drawn_table import print_table
from stvit_video.report.tables import Cell, make_table
from stvit_video.report.terminal import say
from stvit_video.settings.data import ScanBackend

_NUM_BAD_SHOWN = 20


def run_scan(
    manifest: Path,
    output: Path | None,
    *,
    num_workers: int,
    timeout_seconds: float,
    fresh: bool,
    backend: ScanBackend = "auto",
) -> tuple[ScanSummary, Path]:
    """Scan the videos of a manifest or folder; return the summary and the manifest written.

    Raises:
        StvitVideoError: a setting is out of range, no such manifest, or a disk that is full.
        WorkerError: nothing was found out, by a fault that is none of the videos.
    """
    run = FileRun(
        scan_video if backend == "auto" else partial(scan_video, backend=backend),
        title="scan",
        num_workers=num_workers,
        timeout_seconds=timeout_seconds,
    )
    videos, target = open_videos(manifest)
    target = output or target
    with stoppable("stopped; the same command goes on where it was"):
        results = dict(_scan(run, videos, target.with_suffix(".scan.jsonl"), fresh=fresh))
        write_manifest(scanned_manifest(videos, results), target)
        write_indexes(index_path(target), packed_indexes(results))
        left_out = count_left_out(manifest) if manifest.is_dir() else {}
        summary = summarise_scan(results, left_out=left_out, error=run.traceback)
        _write_bad_list(summary, target.with_suffix(".bad.txt"))
    return summary, target


def open_videos(manifest: Path) -> tuple[Manifest, Path]:
    """Read a manifest, or list a folder of class folders; with it, where its manifest stands."""
    if manifest.is_dir():
        return find_class_folders(manifest), manifest / "manifest.csv"
    return read_manifest(manifest), manifest


def _scan(
    run: FileRun, videos: Manifest, journal_path: Path, *, fresh: bool
) -> Iterator[tuple[Path, ScanResult]]:
    if fresh:
        journal_path.unlink(missing_ok=True)
    paths = list(dict.fromkeys(record.path for record in videos.records))
    states = dict(zip(paths, read_states(paths, title="look for videos"), strict=True))
    with Journal(journal_path) as journal:
        known = {}
        for path in paths:
            found = journal.find(path, states[path])
            if found is not None and found["verdict"] not in TRY_AGAIN:
                known[path] = ScanResult(**found)
        yield from known.items()
        waiting = [path for path in paths if path not in known]
        for path, result in run.results(waiting, known=list(known.values())):
            journal.note(path, states[path], asdict(result))
            yield path, result


def _write_bad_list(summary: ScanSummary, path: Path) -> None:
    if not summary.bad_videos:
        path.unlink(missing_ok=True)
        return
    lines = [f"{bad.path}\t{bad.verdict}\t{bad.detail}\n" for bad in summary.bad_videos]
    write_file(path, "".join(lines))


def print_scan(summary: ScanSummary, target: Path, console: Console) -> None:
    """Print the videos by verdict and the first bad ones."""
    readers = ", ".join(f"{number} for {name}" for name, number in summary.backends.items())
    rows: list[list[Cell]] = [
        [verdict, count, readers if verdict == "ok" else ""]
        for verdict, count in summary.verdicts.items()
    ]
    print_table(console, make_table("scanned", ["verdict", "videos", "of them"], rows))
    print_faults(summary, console)
    say(
        console,
        f"{summary.num_ok} of {counted(summary.num_videos, 'video')} ok:"
        f" {counted(summary.num_frames, 'frame')},"
        f" {summary.duration_seconds / 3600:.2f} hours; written to {target}",
    )


def print_faults(summary: ScanSummary, console: Console) -> None:
    """Print the first bad videos, a line each, how many more there are, and what was left out."""
    for bad in summary.bad_videos[:_NUM_BAD_SHOWN]:
        detail = f": {bad.detail}" if bad.detail else ""
        say(console, f"{bad.path}: {bad.verdict}{detail}")
    if len(summary.bad_videos) > _NUM_BAD_SHOWN:
        say(console, f"... {len(summary.bad_videos) - _NUM_BAD_SHOWN} more bad videos")
    if summary.left_out:
        counts = ", ".join(f"{suffix} {count}" for suffix, count in summary.left_out.items())
        say(console, f"files left out by their suffix: {counts}")


def check_faults(summary: ScanSummary) -> None:
    """Refuse a result of which nothing can be used, or in which an error of ours has a part.

    Raises:
        WorkerError: some file met an error of Python.
        DatasetError: no video is ok.
    """
    if summary.error:
        raise WorkerError(f"perhaps no fault of the video:\n{summary.error}")
    if not summary.num_ok:
        first = summary.bad_videos[0]
        raise DatasetError(
            f"none of {summary.num_videos} videos is ok; {first.path}: {first.verdict}"
        )
