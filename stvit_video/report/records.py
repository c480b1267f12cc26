"""Results of many videos, written as they come: JSON, JSON lines, CSV, Parquet.

A record is the JSON object of a video: what was predicted, or its path and an `error`. A file
appears under its name once it is complete; `-` is standard output, written line by line.
"""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from stvit_video.files import replacing
from stvit_video.report.json_file import json_line
from stvit_video.visible import visible

Record = Mapping[str, Any]
Write = Callable[[Record], object]
STANDARD_OUTPUT = "-"

_ROWS_AT_ONCE = 256
"""Of a Parquet file that wait in memory."""
CSV_COLUMNS = ("video", "start_s", "end_s", "rank", "index", "label", "score", "error")


@contextmanager
def writing_records(files: Mapping[str, Path | None]) -> Iterator[Write]:
    """Open a file for each kind (`jsonl`, `csv`, `parquet`) that has one; give what writes to all.

    Raises:
        WriteError: the disk refuses one.
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(_KINDS[kind](path)) for kind, path in files.items() if path]

        def write(record: Record) -> None:
            for writer in writers:
                writer(record)

        yield write


@contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    with _text_file(path) as file:

        def write(record: Record) -> None:
            file.write(json_line(record) + "\n")
            file.flush()

        yield write


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with _text_file(path) as file:
        file.write(",".join(CSV_COLUMNS) + "\n")

        def write(record: Record) -> None:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(csv_rows(record))
            file.write(text.getvalue())
            file.flush()

        yield write


def csv_rows(record: Record) -> Iterator[list[Any]]:
    """Yield a row for each class that is named of a video, or of each of its windows."""
    video = visible(record["video"])
    if "error" in record:
        yield [video, *[None] * 6, visible(record["error"])]
    for window in record.get("windows") or ([record] if "topk" in record else []):
        for entry in window["topk"]:
            yield [
                video,
                window.get("start_s"),
                window.get("end_s"),
                entry["rank"],
                entry["index"],
                visible(entry["label"]),
                entry["score"],
                None,
            ]


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    with (
        replacing(path, pa.ArrowException) as partial_path,
        ParquetWriter(partial_path, parquet_schema()) as file,
    ):
        waiting: list[dict[str, Any]] = []

        def flush() -> None:
            file.write_table(pa.Table.from_pylist(waiting, schema=parquet_schema()))
            waiting.clear()

        def write(record: Record) -> None:
            waiting.append(parquet_row(record))
            if len(waiting) == _ROWS_AT_ONCE:
                flush()

        yield write
        flush()


def parquet_schema() -> Any:
    """Return the columns of a file: a row is a video, its classes and windows are lists."""
    import pyarrow as pa

    classes = {
        "index": pa.list_(pa.int32()),
        "label": pa.list_(pa.string()),
        "score": pa.list_(pa.float32()),
    }
    window = pa.struct({"start_s": pa.float64(), "end_s": pa.float64(), **classes})
    numbers = {"duration_s": pa.float64(), "fps": pa.float64(), "frames": pa.int64()}
    texts = {"video": pa.string(), "error": pa.string(), "model": pa.string()}
    return pa.schema({**texts, **numbers, **classes, "windows": pa.list_(window)})


def parquet_row(record: Record) -> dict[str, Any]:
    """Bring a record into these columns; names that are no text are written as JSON does."""
    windows = record.get("windows")
    return {
        "video": recorded_name(record["video"]),
        "error": recorded_name(record.get("error", "")) or None,
        "model": record.get("model"),
        **{name: record.get(name) for name in ("duration_s", "fps", "frames")},
        **_classes(record),
        "windows": None
        if windows is None
        else [
            {"start_s": window["start_s"], "end_s": window["end_s"], **_classes(window)}
            for window in windows
        ],
    }


def _classes(record: Record) -> dict[str, Any]:
    topk = record.get("topk")
    names = ("index", "label", "score")
    return {name: None if topk is None else [entry[name] for entry in topk] for name in names}


def recorded_name(words: str) -> str:
    """Return how words that may be no text stand in a Parquet file."""
    return words.encode(errors="backslashreplace").decode()


@contextmanager
def _text_file(path: Path) -> Iterator[IO[str]]:
    if str(path) == STANDARD_OUTPUT:
        yield sys.stdout
        return
    with (
        replacing(path) as partial_path,
        partial_path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


_KINDS = {"jsonl": _json_lines, "csv": _csv, "parquet": _parquet}
