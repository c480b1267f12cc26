"""Predictions of many videos in Parquet shards: whole or not there, each video once."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import pyarrow.parquet

from stvit_video.errors import ConfigError
from stvit_video.evaluation.claimed_folder import ClaimedFolder
from stvit_video.report.records import Record, recorded_name, writing_records


class PredictionFolder(ClaimedFolder):
    """Shards `part-*.parquet`, a row for each video, and what they are of in `_predictions.json`.

    Readers of Parquet data sets leave out names with an underscore.
    """

    identity_file = "_predictions.json"
    content = "other predictions"

    def recorded(self) -> set[str]:
        """Return the names of the videos that have a row.

        Raises:
            ConfigError: a shard cannot be read.
        """
        names: set[str] = set()
        for path in self.path.glob("part-*.parquet"):
            try:
                table = pyarrow.parquet.read_table(path, columns=["video"])
            except (OSError, pyarrow.ArrowException) as error:
                raise ConfigError(
                    f"{path} cannot be read; remove it, and its videos are done again"
                ) from error
            names.update(table["video"].to_pylist())
        return names

    def left(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yield the paths that have no row yet."""
        recorded = self.recorded()
        return (path for path in paths if recorded_name(str(path)) not in recorded)

    def write(self, records: Sequence[Record]) -> Path:
        """Write a shard; it is named after its videos, so that a second time replaces the first.

        Raises:
            WriteError: the disk refuses it.
        """
        names = "\n".join(str(record["video"]) for record in records)
        digest = blake2b(names.encode(errors="surrogateescape"), digest_size=8).hexdigest()
        path = self.path / f"part-{digest}.parquet"
        with writing_records({"parquet": path}) as write:
            for record in records:
                write(record)
        return path

    @contextmanager
    def filling(self, shard_size: int) -> Iterator["ShardFiller"]:
        """Take records one by one; what has come is written in the end, however that comes."""
        filler = ShardFiller(self, shard_size)
        try:
            yield filler
        finally:
            filler.flush()


class ShardFiller:
    """Collects records until they make a shard."""

    def __init__(self, folder: PredictionFolder, shard_size: int) -> None:
        self.folder = folder
        self.shard_size = shard_size
        self._waiting: list[Record] = []

    def add(self, record: Record) -> None:
        """Take a record."""
        self._waiting.append(record)
        if len(self._waiting) == self.shard_size:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            self.folder.write(self._waiting)
            self._waiting = []


def in_blocks(paths: Iterable[Path], size: int) -> Iterator[list[Path]]:
    """Cut into blocks of `size`, the last one shorter."""
    waiting = iter(paths)
    while block := list(islice(waiting, size)):
        yield block
