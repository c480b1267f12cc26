"""Videos as they are named on a command line: files, folders, patterns, lists, standard input."""

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stvit_video.datasets.layouts.class_folders import find_videos_below
from stvit_video.datasets.layouts.stretches import WHOLE
from stvit_video.datasets.layouts.video_list import read_video_list
from stvit_video.errors import DatasetError
from stvit_video.settings.paths import LIST_SUFFIXES, STANDARD_INPUT, check_video_words


class NamedVideos(NamedTuple):
    """The files that words name, each once."""

    title: str
    """The word, or how many videos several words name."""
    paths: Iterable[Path]
    """In the order of the words; of standard input as they come."""
    total: int | None
    """None where they come from standard input."""
    is_one: bool
    """Whether the words are those of one file."""


def find_named_videos(words: Sequence[str]) -> NamedVideos:
    """Find the videos that `words` name.

    A word is a video file, a folder (with videos at any depth), a pattern such as `clips/*.mp4`, a
    list of videos (.txt, .csv, .tsv, .json), or `-` for paths on standard input, a line each. What
    a list names may be missing; it is then found out where it is read.

    Raises:
        VideoDecodeError: a file is not there.
        DatasetError: a folder or a pattern holds no videos, or a list cannot be used.
    """
    check_video_words(words)
    if STANDARD_INPUT in words:
        if len(words) > 1:
            raise DatasetError(f"{STANDARD_INPUT} (paths on standard input) must stand alone")
        return NamedVideos("standard input", _each_once(_lines()), None, is_one=False)
    paths = list(_each_once(path for word in words for path in _find(word)))
    is_one = len(words) == 1 and paths == [Path(words[0])]
    title = words[0] if len(words) == 1 else f"{len(paths)} videos"
    return NamedVideos(title, paths, len(paths), is_one)


def _find(word: str) -> Iterable[Path]:
    path = Path(word)
    if path.is_dir():
        return find_videos_below(path)
    if path.suffix.lower() in LIST_SUFFIXES and path.is_file():
        return _listed(path)
    if path.exists():
        return [path]
    return [Path(match) for match in sorted(glob.glob(word, recursive=True))]


def _listed(list_path: Path) -> Iterator[Path]:
    """Yield what a list names: as seen from here or, where that is not there, from the list."""
    for row in read_video_list(list_path).rows:
        if row.stretch != WHOLE:
            raise DatasetError(
                f"{row.where}: {row.path} names a part of a file, and whole files are read here;"
                " use `stvit-video evaluate`, or `--window` for parts of equal length"
            )
        path = Path(row.path)
        beside = list_path.parent / path
        yield beside if beside.exists() and not path.exists() else path


def _lines() -> Iterator[Path]:
    for line in sys.stdin:
        if words := line.rstrip("\r\n"):
            yield Path(words)


def _each_once(paths: Iterable[Path]) -> Iterator[Path]:
    seen: set[str] = set()
    for path in paths:
        if str(path) not in seen:
            seen.add(str(path))
            yield path
