"""The work of `stvit-video data scan`."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.manifest import Manifest, read_manifest, write_manifest
from stvit_video.datasets.upkeep.journal import Journal
from stvit_video.datasets.upkeep.scan import ScanResult, scan_video
from stvit_video.datasets.upkeep.scanned import ScanSummary, scanned_manifest, summarise_scan
from stvit_video.datasets.upkeep.workers import run_killable
from stvit_video.errors import ConfigError
from stvit_video.files import write_file
from stvit_video.report.progress import track_files

_NUM_BAD_SHOWN = 20
_TRY_AGAIN = ("time limit", "crash")


def run_scan(
    manifest: Path,
    output: Path | None,
    *,
    num_workers: int,
    timeout_seconds: float,
    fresh: bool,
) -> tuple[ScanSummary, Path]:
    """Scan the videos of a manifest or folder; return the summary and the manifest written."""
    check_workers(num_workers, timeout_seconds)
    videos, target = open_videos(manifest)
    target = output or target
    results = dict(
        _scan(videos, target, num_workers=num_workers, timeout_seconds=timeout_seconds, fresh=fresh)
    )
    write_manifest(scanned_manifest(videos, results), target)
    summary = summarise_scan(results)
    _write_bad_list(summary, target.with_suffix(".bad.txt"))
    return summary, target


def open_videos(manifest: Path) -> tuple[Manifest, Path]:
    """Read a manifest, or list a folder of class folders; with it, where its manifest stands."""
    if manifest.is_dir():
        return find_class_folders(manifest), manifest / "manifest.csv"
    return read_manifest(manifest), manifest


def check_workers(num_workers: int, timeout_seconds: float) -> None:
    """Refuse settings of the worker processes that cannot work.

    Raises:
        ConfigError: one of the two is out of range.
    """
    if num_workers < 0:
        raise ConfigError(f"num_workers ({num_workers}) must be at least 0; 0 takes every core")
    if timeout_seconds <= 0:
        raise ConfigError(f"timeout_seconds ({timeout_seconds}) must be more than 0")


def _scan(
    videos: Manifest, target: Path, *, num_workers: int, timeout_seconds: float, fresh: bool
) -> Iterator[tuple[Path, ScanResult]]:
    journal_path = target.with_suffix(".scan.jsonl")
    if fresh:
        journal_path.unlink(missing_ok=True)
    paths = list(dict.fromkeys(record.path for record in videos.records))
    with Journal(journal_path) as journal:
        found = {path: journal.find(path) for path in paths}
        known = {
            path: ScanResult(**result)
            for path, result in found.items()
            if result is not None and result["verdict"] not in _TRY_AGAIN
        }
        yield from known.items()
        outcomes = run_killable(
            scan_video,
            [path for path in paths if path not in known],
            num_workers=num_workers or os.cpu_count() or 1,
            timeout_seconds=timeout_seconds,
        )
        for outcome in track_files(
            outcomes,
            title="scan",
            total=len(paths),
            is_bad=lambda outcome: outcome.result is None or not outcome.result.is_ok,
            num_done=len(known),
            num_bad=sum(not result.is_ok for result in known.values()),
        ):
            result = outcome.result or ScanResult(
                verdict=outcome.failure, detail=f"after {outcome.seconds:.1f} s"
            )
            journal.note(outcome.item, asdict(result))
            yield outcome.item, result


def _write_bad_list(summary: ScanSummary, path: Path) -> None:
    if not summary.bad_videos:
        path.unlink(missing_ok=True)
        return
    lines = [f"{bad.path}\t{bad.verdict}\t{bad.detail}\n" for bad in summary.bad_videos]
    write_file(path, "".join(lines))


def print_scan(summary: ScanSummary, target: Path, console: Console) -> None:
    """Print the videos by verdict and the first bad ones."""
    table = Table("verdict", "videos", "of them", box=None, pad_edge=False)
    for verdict, count in summary.verdicts.items():
        parts = summary.backends if verdict == "ok" else {}
        detail = ", ".join(f"{number} for {name}" for name, number in parts.items())
        table.add_row(verdict, str(count), detail)
    console.print(table)
    print_bad_videos(summary, console)
    console.print(
        f"{summary.num_ok} of {summary.num_videos} videos are ok: {summary.num_frames} frames,"
        f" {summary.duration_seconds / 3600:.2f} hours; written to {target}",
        markup=False,
        soft_wrap=True,
    )


def print_bad_videos(summary: ScanSummary, console: Console) -> None:
    """Print the first bad videos, a line each, and how many more there are."""
    for bad in summary.bad_videos[:_NUM_BAD_SHOWN]:
        detail = f": {bad.detail}" if bad.detail else ""
        console.print(f"{bad.path}: {bad.verdict}{detail}", markup=False, soft_wrap=True)
    if len(summary.bad_videos) > _NUM_BAD_SHOWN:
        console.print(f"... {len(summary.bad_videos) - _NUM_BAD_SHOWN} more bad videos")
