"""How much of an annotation is there: videos annotated, found, and able to be opened."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from stvit_video.datasets.records import VideoRecord
from stvit_video.errors import DatasetError, VideoDecodeError
from stvit_video.video.decoding.open import probe_video


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Counts of videos; an accuracy without them compares with nothing."""

    annotated: int
    """Different videos that the annotation names."""
    found: int
    """Of those, videos that have a file."""
    decodable: int | None
    """Of those, files whose packets read as a video from end to end; None where none was opened."""

    def lines(self) -> list[str]:
        """Return one line per count, with its share of the annotated videos."""
        counts = {"annotated": self.annotated, "found": self.found, "decodable": self.decodable}
        return [
            f"{name:<10} not checked; open the files with --num_workers"
            if count is None
            else f"{name:<10} {count:>7}  {100 * count / self.annotated:6.2f} %"
            for name, count in counts.items()
        ]


def missing_path(manifest_path: str | Path) -> Path:
    """Return where the annotated videos without a file are listed: `NAME.missing.txt`."""
    return Path(manifest_path).with_name(f"{Path(manifest_path).stem}.missing.txt")


def read_coverage(manifest_path: str | Path, *, found: int, failed: int) -> Coverage:
    """Return the coverage of a data set of `found` videos, of which `failed` did not decode.

    `data manifest` lists the missing videos beside its manifest; a folder of classes has none.
    """
    listed = missing_path(manifest_path)
    missing = len(listed.read_text(encoding="utf-8").splitlines()) if listed.is_file() else 0
    return Coverage(annotated=found + missing, found=found, decodable=found - failed)


def open_videos(records: Sequence[VideoRecord], *, num_workers: int) -> Iterator[VideoRecord]:
    """Open every file; yield its record, in order, with size and length or, as verdict, the fault.

    Packets are read, pictures are not decoded: a damaged picture passes. `data scan` finds those.

    Raises:
        DatasetError: a worker process died, so that a file may bring a decoder down.
    """
    with ProcessPoolExecutor(num_workers) as pool:
        try:
            yield from pool.map(_open, records, chunksize=16)
        except BrokenProcessPool as error:
            raise DatasetError(
                "a process died while it opened a video; use --num_workers 0 here and"
                " `stvit-video data scan` after it, which finds the file"
            ) from error


def _open(record: VideoRecord) -> VideoRecord:
    try:
        info = probe_video(record.path)
    except VideoDecodeError as error:
        return record._replace(verdict=error.reason)
    return record._replace(
        num_frames=info.num_frames,
        fps=info.fps,
        width=info.width,
        height=info.height,
        codec=info.codec,
        backend=info.backend,
    )


def check_failed(errors: Collection[str], *, num_videos: int, most: float) -> None:
    """Refuse a data set of which more than a share `most` does not decode.

    Raises:
        DatasetError: saying how many, and the first five of their `errors`.
    """
    if len(errors) / num_videos > most:
        raise DatasetError(
            f"{len(errors)} of {num_videos} training videos do not decode, more than"
            f" data.max_failed_share ({most}) allows; `stvit-video data scan` finds them all, the"
            f" first: {'; '.join(islice(errors, 5))}"
        )
