"""Put what a scan found into a manifest, and sum it up."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stvit_video.datasets.manifest import Manifest, VideoRecord
from stvit_video.datasets.upkeep.scan import ScanResult


@dataclass(frozen=True, kw_only=True, slots=True)
class BadVideo:
    """A video that should not be used."""

    path: Path
    verdict: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanSummary:
    """A scanned data set in numbers."""

    num_videos: int
    num_ok: int
    num_frames: int
    """Of the videos that are ok."""
    duration_seconds: float
    """Of the videos that are ok."""
    verdicts: dict[str, int]
    """Videos by verdict, the most frequent first."""
    backends: dict[str, int]
    """Videos that are ok by the decoder that `auto` takes for them."""
    codecs: dict[str, int]
    bad_videos: list[BadVideo]
    left_out: dict[str, int]
    """What class folders hold besides videos: files by suffix, `hidden`, `folder`."""
    error: str
    """Traceback of the first error of Python that a file met; empty for none."""


def scanned_manifest(manifest: Manifest, results: Mapping[Path, ScanResult]) -> Manifest:
    """Fill the scan columns of every record whose path has a result."""
    records = tuple(
        scanned_record(record, results[record.path]) if record.path in results else record
        for record in manifest.records
    )
    return replace(manifest, records=records)


def scanned_record(record: VideoRecord, result: ScanResult) -> VideoRecord:
    """Fill the scan columns of one record."""
    return record._replace(
        num_frames=result.num_frames,
        fps=round(result.fps, 6),
        width=result.width,
        height=result.height,
        codec=result.codec,
        gop=result.gop,
        verdict=result.verdict,
        backend=result.backend,
    )


def summarise_scan(
    results: Mapping[Path, ScanResult], *, left_out: dict[str, int], error: str
) -> ScanSummary:
    """Count the videos by verdict and list the bad ones by path."""
    good = [result for result in results.values() if result.is_ok]
    return ScanSummary(
        num_videos=len(results),
        num_ok=len(good),
        num_frames=sum(result.num_frames for result in good),
        duration_seconds=round(sum(result.duration_seconds for result in good), 3),
        verdicts=_count(result.verdict for result in results.values()),
        backends=_count(result.backend for result in good),
        codecs=_count(result.codec for result in good),
        bad_videos=[
            BadVideo(path=path, verdict=result.verdict, detail=result.detail)
            for path, result in sorted(results.items())
            if not result.is_ok
        ],
        left_out=left_out,
        error=error,
    )


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
