"""When actions happen in untrimmed videos: ActivityNet's JSON, in which THUMOS is given, too.

Legend: S segments.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stvit_video.datasets.layouts.annotations import VideoFiles
from stvit_video.errors import DatasetError, did_you_mean
from stvit_video.settings.bounds import shorten
from stvit_video.untrusted import read_json

_MOST_BYTES = 2**28


class Segments(NamedTuple):
    """Stretches of videos in which an action happens, a row for each."""

    video: NDArray[np.int64]
    """(S,): which video."""
    span: NDArray[np.float64]
    """(S, 2): start and end in seconds from the first frame."""
    label: NDArray[np.int64]
    """(S,): index of the class."""
    score: NDArray[np.float64]
    """(S,): 1 of what is annotated."""

    def pick(self, rows: NDArray[Any]) -> "Segments":
        """Return some rows."""
        return Segments(*(column[rows] for column in self))

    @classmethod
    def join(cls, parts: Sequence["Segments"]) -> "Segments":
        """Put rows one behind the other."""
        none = cls(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0))
        return cls(*(np.concatenate(columns) for columns in zip(none, *parts, strict=True)))


class AnnotatedSegments(NamedTuple):
    """The videos of a part of a data set, and what happens in them."""

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    """Classes that occur, sorted."""
    truth: Segments


def read_segments(path: Path, *, subset: str) -> AnnotatedSegments:
    """Read `{"database": {ID: {"subset", "annotations": [{"segment": [s, e], "label"}]}}}`.

    Raises:
        DatasetError: the file is none, holds no such part, or a segment is not as it must be.
    """
    record = read_json(path, DatasetError, most=_MOST_BYTES)
    database = record.get("database") if isinstance(record, dict) else None
    if not isinstance(database, dict) or not all(isinstance(v, dict) for v in database.values()):
        raise DatasetError(f"{path} has no database of videos; it must be a file of ActivityNet")
    subsets = sorted({str(video.get("subset")) for video in database.values()})
    held = {
        name: video
        for name, video in database.items()
        if str(video.get("subset")).lower() == subset.lower()
    }
    if not held:
        raise DatasetError(
            f"{path} has no videos of the subset {subset!r}, but of {shorten(subsets)}"
            f"{did_you_mean(subset, subsets)}"
        )
    rows = [(i, *row) for i, name in enumerate(held) for row in _segments(path, name, held[name])]
    if not rows:
        raise DatasetError(f"{path} has no segments in the subset {subset!r}")
    labels = sorted({label for *_, label in rows})
    index_of = {label: index for index, label in enumerate(labels)}
    truth = Segments(
        np.array([video for video, *_ in rows], dtype=np.int64),
        np.array([span for _, span, _ in rows], dtype=np.float64),
        np.array([index_of[label] for *_, label in rows], dtype=np.int64),
        np.ones(len(rows)),
    )
    return AnnotatedSegments(tuple(held), tuple(labels), truth)


def find_videos(
    annotated: AnnotatedSegments, annotations: Path, media: Path | None = None
) -> list[Path]:
    """Find the file of each video, `ID.mp4` or `v_ID.mp4` with any suffix of videos.

    They are below `media`, by default the folder of the annotations.

    Raises:
        DatasetError: one has none.
    """
    folder = annotations.parent if media is None else media
    files = VideoFiles(folder)
    found = [files.find(name) or files.find(f"v_{name}") for name in annotated.videos]
    missing = [name for name, path in zip(annotated.videos, found, strict=True) if path is None]
    if missing:
        raise DatasetError(
            f"{annotations} names {missing[0]!r}, of which {folder} holds no video ({len(missing)}"
            f" of {len(found)} are missing); get them, or leave them out"
        )
    return [path for path in found if path is not None]


def _segments(
    path: Path, name: str, video: dict[str, Any]
) -> Iterator[tuple[tuple[float, float], str]]:
    annotations = video.get("annotations", [])
    if not isinstance(annotations, list):
        raise DatasetError(f"{path}: annotations of {name!r} must be a list")
    for number, entry in enumerate(annotations, start=1):
        where = f"{path}: annotation {number} of {name!r}"
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise DatasetError(f"{where} must have a label and a segment")
        span = entry.get("segment")
        if (
            not isinstance(span, list)
            or len(span) != 2
            or not all(_is_second(second) for second in span)
            or span[1] <= span[0]
        ):
            raise DatasetError(
                f"{where} has the segment {shorten(str(span))}, but it must be [start, end] in"
                " seconds from 0, the end behind the start; mend it or leave it out"
            )
        yield (float(span[0]), float(span[1])), entry["label"]


def _is_second(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
