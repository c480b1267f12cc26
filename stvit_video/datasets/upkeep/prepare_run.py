"""The work of `stvit-video data prepare`."""

import os
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from stvit_video.datasets.coverage import missing_path
from stvit_video.datasets.index_store import index_path, write_indexes
from stvit_video.datasets.layouts.class_folders import count_left_out
from stvit_video.datasets.manifest import Manifest, write_manifest
from stvit_video.datasets.upkeep.file_run import FileRun
from stvit_video.datasets.upkeep.groups import PictureGroups
from stvit_video.datasets.upkeep.journal import Journal
from stvit_video.datasets.upkeep.prepare_plan import PreparePlan, plan_preparation
from stvit_video.datasets.upkeep.prepared import check_output, prepared_manifest
from stvit_video.datasets.upkeep.reading_rate import ReadingRate, measure_reading
from stvit_video.datasets.upkeep.reencode import (
    NO_ROOM,
    NOT_WRITTEN,
    ReencodeJob,
    check_pyav,
    partial_path,
    reencode_video,
)
from stvit_video.datasets.upkeep.scan import ScanResult, packed_indexes
from stvit_video.datasets.upkeep.scan_run import check_faults, open_videos, print_faults
from stvit_video.datasets.upkeep.scanned import ScanSummary, summarise_scan
from stvit_video.datasets.upkeep.stopping import stoppable
from stvit_video.errors import ConfigError, WriteError
from stvit_video.files import holding, write_file
from stvit_video.report.counts import counted
from stvit_video.report.terminal import say
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
    reading: ReadingRate | None
    """How fast a few of them are read before and after."""
    videos: ScanSummary
    """The new videos; the bad ones are those that could not be prepared."""


class _Done(NamedTuple):
    result: ScanResult
    size: int
    """Bytes of the new file."""


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
        StvitVideoError: a setting is out of range, no such manifest, a source or an older result
            would be lost, or a disk is full.
        WorkerError: nothing was encoded, by a fault that is none of the videos.
    """
    check_pyav()
    run = FileRun(
        reencode_video,
        title="prepare",
        num_workers=num_workers,
        timeout_seconds=timeout_seconds,
        after_kill=lambda job: partial_path(job.target).unlink(missing_ok=True),
    )
    videos, listing = open_videos(manifest)
    prepared = output or output_dir / listing.name
    if listing.exists() and prepared.resolve() == listing.resolve():
        raise ConfigError(f"output ({prepared}) lists the sources; choose another file")
    with stoppable("stopped; the same command goes on where it was"), holding(output_dir):
        plan = plan_preparation(videos, listing.parent, output_dir)
        plan.check_sources()
        check_output(prepared, [*plan.original_of, *plan.targets.values()])
        done, fault = _prepare(run, plan, replace(encode, gop=groups.gop), groups, fresh=fresh)
        if done:
            write_manifest(_listed(videos, plan, done, groups), prepared)
            _write_beside(prepared, plan, done, listing)
        if fault:
            raise WriteError(
                f"{output_dir} cannot be written: {fault}; {len(done)} of {len(plan.targets)}"
                " videos are done, the same command goes on"
            )
        whole = [source for source, it in done.items() if it.result.is_ok]
        return PrepareSummary(
            manifest=prepared,
            groups=groups,
            source_mib=_mib([state.size for s in whole if (state := plan.source_states[s])]),
            prepared_mib=_mib([done[source].size for source in whole]),
            reading=measure_reading([(source, plan.targets[source]) for source in whole], groups),
            videos=summarise_scan(
                {source: it.result for source, it in done.items()},
                left_out=count_left_out(manifest) if manifest.is_dir() else {},
                error=run.traceback,
            ),
        )


def _prepare(
    run: FileRun, plan: PreparePlan, encode: EncodeSettings, groups: PictureGroups, *, fresh: bool
) -> tuple[dict[Path, _Done], str]:
    """Encode what is not there yet; return it all, and why the disk took no more if it did not."""
    setting = f"{encode} step={groups.step}" if groups.step > 1 else str(encode)
    with Journal(plan.output_dir / "manifest.prepare.jsonl", setting=setting) as journal:
        plan.check_makers(journal)
        done = {} if fresh else {s: _Done(result, size) for s, result, size in plan.known(journal)}
        jobs = [
            ReencodeJob(source, target, encode, groups)
            for source, target in plan.targets.items()
            if source not in done
        ]
        fault = ""
        with closing(run.results(jobs, known=[it.result for it in done.values()])) as outcomes:
            for job, result in outcomes:
                if result.verdict == NO_ROOM:
                    fault = result.detail
                    run.end_early()
                    continue
                size = job.target.stat().st_size if result.is_ok else 0
                done[job.source] = _Done(result, size)
                if result.is_ok:
                    target = os.path.abspath(job.target)
                    noted = {"size": size, "target": target, "result": asdict(result)}
                    journal.note(job.source, plan.source_states[job.source], noted)
    return done, fault


def _listed(
    videos: Manifest, plan: PreparePlan, done: dict[Path, _Done], groups: PictureGroups
) -> Manifest:
    originals = {path: it for path, it in plan.original_of.items() if it in done}
    targets = {path: plan.targets[it] for path, it in originals.items()}
    results = {path: done[it].result for path, it in originals.items()}
    return prepared_manifest(videos, targets, results, made_for=groups.made_for)


def _write_beside(
    prepared: Path, plan: PreparePlan, done: dict[Path, _Done], listing: Path
) -> None:
    """Keep what is known of the packets, and the sources that were missing, for every accuracy."""
    new = {plan.targets[source]: it.result for source, it in done.items()}
    write_indexes(index_path(prepared), packed_indexes(new))
    missing_path(prepared).unlink(missing_ok=True)
    if (missing := missing_path(listing)).is_file():
        write_file(missing_path(prepared), missing.read_text(encoding="utf-8"))


def _mib(sizes: list[int]) -> float:
    return round(sum(sizes) / 2**20, 3)


def print_preparation(summary: PrepareSummary, console: Console) -> None:
    """Print what could not be prepared, and sizes and reading before and after."""
    videos = summary.videos
    print_faults(videos, console)
    lines = [
        f"{videos.num_ok} of {counted(videos.num_videos, 'video')} prepared:"
        f" {counted(videos.num_frames, 'frame')},"
        f" {summary.source_mib:.1f} -> {summary.prepared_mib:.1f} MiB;"
        f" listed in {summary.manifest}"
    ]
    if reading := summary.reading:
        scheme = reading.sampling
        clips = f"{scheme.num_frames} segments"
        if scheme.kind == "dense":
            clips = f"{scheme.num_frames} frames at stride {scheme.frame_stride}"
        lines.append(
            f"one core reads {reading.source_clips_per_second:.1f} ->"
            f" {reading.prepared_clips_per_second:.1f} clips/s of {clips},"
            f" tried on {counted(reading.num_videos, 'video')}"
        )
    say(console, *lines)


def check_preparation(summary: PrepareSummary) -> None:
    """Refuse a result that lacks videos by no fault of theirs, or all of them.

    Raises:
        WorkerError: some file met an error of Python.
        DatasetError: no video is prepared.
        WriteError: some could be read but not written.
    """
    check_faults(summary.videos)
    if count := summary.videos.verdicts.get(NOT_WRITTEN):
        raise WriteError(
            f"{count} of {summary.videos.num_videos} videos were not written;"
            f" {summary.manifest} says which"
        )
