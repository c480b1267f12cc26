"""`stvit-video data prepare`: re-encode videos so that training reads them fast."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stvit_video.commands.data_scan import check_workers, open_videos
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.prepared import prepared_manifest, prepared_paths
from stvit_video.datasets.scanned import ScanSummary, summarise_scan
from stvit_video.report.json_file import result_console, write_json
from stvit_video.report.progress import track_files
from stvit_video.video.journal import Journal
from stvit_video.video.reencode import EncodeSettings, ReencodeJob, partial_path, reencode_video
from stvit_video.video.scan import ScanResult
from stvit_video.video.workers import run_killable

_NUM_BAD_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSummary:
    """A prepared data set in numbers."""

    manifest: Path
    """Lists the new videos."""
    source_mib: float
    """Size of the videos that were prepared."""
    prepared_mib: float
    """Size of what was written for them."""
    videos: ScanSummary
    """The new videos; the bad ones are those that could not be prepared."""


def data_prepare(
    manifest: Path,
    output_dir: Path,
    *,
    encode: EncodeSettings = EncodeSettings(),  # noqa: B008 - frozen
    num_workers: int = 0,
    timeout_seconds: float = 1800.0,
    fresh: bool = False,
    json: Path | None = None,
) -> None:
    """Re-encode every video for fast training reads, and list the new ones in a manifest.

    Sources are only read. A new video gets its name once all its frames were decoded and counted.
    A run that was stopped goes on where it was.

    Args:
        manifest: Manifest of the videos, or a folder of class folders.
        output_dir: Folder for the new videos and their manifest.csv.
        encode: How they are encoded.
        num_workers: Processes that encode; 0 takes one for every core.
        timeout_seconds: Longest time for one video; then its process is killed.
        fresh: Encode again what is there already.
        json: Write the summary as JSON; `-` is standard output.
    """
    check_workers(num_workers, timeout_seconds)
    videos, target = open_videos(manifest)
    sources = list(dict.fromkeys(record.path for record in videos.records))
    targets = prepared_paths(sources, target.parent, output_dir)
    jobs = [ReencodeJob(source, path, encode) for source, path in targets.items()]
    results = dict(
        _prepare(
            jobs,
            output_dir / "manifest.prepare.jsonl",
            num_workers=num_workers,
            timeout_seconds=timeout_seconds,
            fresh=fresh,
        )
    )
    summary = _write(videos, targets, results, output_dir / "manifest.csv")
    _print_summary(summary, json)
    write_json(summary, json)


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
    with Journal(journal_path, setting=str(jobs[0].settings)) as journal:
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


def _known_result(journal: Journal, job: ReencodeJob) -> ScanResult | None:
    """Result of an earlier run whose target still stands as it was written."""
    found = journal.find(job.source)
    if found is None or not job.target.is_file() or job.target.stat().st_size != found["size"]:
        return None
    return ScanResult(**found["result"])


def _write(
    videos: Manifest, targets: dict[Path, Path], results: dict[Path, ScanResult], path: Path
) -> PrepareSummary:
    write_manifest(prepared_manifest(videos, targets, results), path)
    done = [source for source, result in results.items() if result.is_ok]
    return PrepareSummary(
        manifest=path,
        source_mib=round(sum(source.stat().st_size for source in done) / 2**20, 3),
        prepared_mib=round(sum(targets[source].stat().st_size for source in done) / 2**20, 3),
        videos=summarise_scan(results),
    )


def _print_summary(summary: PrepareSummary, json: Path | None) -> None:
    console = result_console(json)
    videos = summary.videos
    for bad in videos.bad_videos[:_NUM_BAD_SHOWN]:
        detail = f": {bad.detail}" if bad.detail else ""
        console.print(f"{bad.path}: {bad.verdict}{detail}", markup=False, soft_wrap=True)
    if len(videos.bad_videos) > _NUM_BAD_SHOWN:
        console.print(f"... {len(videos.bad_videos) - _NUM_BAD_SHOWN} more bad videos")
    console.print(
        f"{videos.num_ok} of {videos.num_videos} videos prepared: {videos.num_frames} frames,"
        f" {summary.source_mib:.1f} -> {summary.prepared_mib:.1f} MiB;"
        f" listed in {summary.manifest}",
        markup=False,
        soft_wrap=True,
    )
