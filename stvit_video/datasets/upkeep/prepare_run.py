"""The work of `stvit-video data prepare`."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from stvit_video.datasets.coverage import missing_path
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.upkeep.groups import PictureGroups
from stvit_video.datasets.upkeep.journal import Journal
from stvit_video.datasets.upkeep.prepared import prepared_manifest, prepared_paths
from stvit_video.datasets.upkeep.reencode import (
    ReencodeJob,
    check_pyav,
    partial_path,
    reencode_video,
)
from stvit_video.datasets.upkeep.scan import ScanResult
from stvit_video.datasets.upkeep.scan_run import check_workers, open_videos, print_bad_videos
from stvit_video.datasets.upkeep.scanned import ScanSummary, summarise_scan
from stvit_video.datasets.upkeep.workers import run_killable
from stvit_video.errors import ConfigError
from stvit_video.files import write_file
from stvit_video.report.progress import track_files
from stvit_video.settings.encode import EncodeSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSummary:
    """A prepared data set in numbers."""

    manifest: Path
    """Lists the new videos."""
    groups: PictureGroups
    """Where their key frames and references stand."""
    source_mib: float
    """Size of the videos that were prepared."""
    prepared_mib: float
    """Size of what was written for them."""
    videos: ScanSummary
    """The new videos; the bad ones are those that could not be prepared."""


def run_preparation(
    manifest: Path,
    output_dir: Path,
    *,
    output: Path | None = None,
    encode: EncodeSettings,
    groups: PictureGroups,
    num_workers: int,
    timeout_seconds: float,
    fresh: bool,
) -> PrepareSummary:
    """Re-encode the videos of a manifest or folder into `output_dir`; list them in `output`.

    Raises:
        StvitVideoError: a setting is out of range, no such manifest, or a source would be lost.
    """
    check_pyav()
    check_workers(num_workers, timeout_seconds)
    videos, target = open_videos(manifest)
    prepared = output or output_dir / "manifest.csv"
    if prepared.resolve() == manifest.resolve():
        raise ConfigError(f"output ({prepared}) lists the sources; choose another file")
    sources = list(dict.fromkeys(record.path for record in videos.records))
    targets = prepared_paths(sources, target.parent, output_dir)
    jobs = [ReencodeJob(source, path, encode, groups) for source, path in targets.items()]
    results = dict(
        _prepare(
            jobs,
            output_dir / "manifest.prepare.jsonl",
            num_workers=num_workers,
            timeout_seconds=timeout_seconds,
            fresh=fresh,
        )
    )
    missing_path(prepared).unlink(missing_ok=True)
    if (missing := missing_path(target)).is_file():  # coverage counts them beside every accuracy
        write_file(missing_path(prepared), missing.read_text(encoding="utf-8"))
    return _write(videos, targets, results, groups, prepared)


def _prepare(
    jobs: list[ReencodeJob],
    journal_path: Path,
    *,
    num_workers: int,
    timeout_seconds: float,
    fresh: bool,
) -> Iterator[tuple[Path, ScanResult]]:
    if fresh:
        journal_path.unlink(missing_ok=True)
    with Journal(journal_path, setting=_setting(jobs[0])) as journal:
        known = {job.source: found for job in jobs if (found := _known_result(journal, job))}
        yield from known.items()
        outcomes = run_killable(
            reencode_video,
            [job for job in jobs if job.source not in known],
            num_workers=num_workers or os.cpu_count() or 1,
            timeout_seconds=timeout_seconds,
        )
        for outcome in track_files(
            outcomes,
            title="prepare",
            total=len(jobs),
            is_bad=lambda outcome: outcome.result is None or not outcome.result.is_ok,
            num_done=len(known),
        ):
            job, result = outcome.item, outcome.result
            if result is None:
                partial_path(job.target).unlink(missing_ok=True)
                detail = f"after {outcome.seconds:.1f} s"
                result = ScanResult(verdict=outcome.failure, detail=detail)
            if result.is_ok:
                size = job.target.stat().st_size
                journal.note(job.source, {"size": size, "result": asdict(result)})
            yield job.source, result


def _setting(job: ReencodeJob) -> str:
    """What a journal says of how a file was encoded: no word of steps where there are none."""
    step = f" step={job.groups.step}" if job.groups.step > 1 else ""
    return f"{replace(job.settings, gop=job.groups.gop)}{step}"


def _known_result(journal: Journal, job: ReencodeJob) -> ScanResult | None:
    """Result of an earlier run whose target still stands as it was written."""
    found = journal.find(job.source)
    if found is None or not job.target.is_file() or job.target.stat().st_size != found["size"]:
        return None
    return ScanResult(**found["result"])


def _write(
    videos: Manifest,
    targets: dict[Path, Path],
    results: dict[Path, ScanResult],
    groups: PictureGroups,
    path: Path,
) -> PrepareSummary:
    write_manifest(prepared_manifest(videos, targets, results, made_for=groups.made_for), path)
    done = [source for source, result in results.items() if result.is_ok]
    return PrepareSummary(
        manifest=path,
        groups=groups,
        source_mib=round(sum(source.stat().st_size for source in done) / 2**20, 3),
        prepared_mib=round(sum(targets[source].stat().st_size for source in done) / 2**20, 3),
        videos=summarise_scan(results),
    )


def print_preparation(summary: PrepareSummary, console: Console) -> None:
    """Print what could not be prepared, and the sizes before and after."""
    videos = summary.videos
    print_bad_videos(videos, console)
    console.print(
        f"{videos.num_ok} of {videos.num_videos} videos prepared: {videos.num_frames} frames,"
        f" {summary.source_mib:.1f} -> {summary.prepared_mib:.1f} MiB;"
        f" listed in {summary.manifest}",
        markup=False,
        soft_wrap=True,
    )
