"""Lists of videos as people pass them around: lines with or without a header, or JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from stvit_video.datasets.layouts.annotations import AnnotatedVideo, AnnotatedVideos
from stvit_video.datasets.layouts.class_folders import VIDEO_SUFFIXES
from stvit_video.datasets.layouts.class_names import ClassIndex
from stvit_video.datasets.layouts.json_list import looks_like_json, read_json_list
from stvit_video.datasets.layouts.list_labels import describe_rows, label_index, list_classes
from stvit_video.datasets.layouts.list_rows import ListRows, read_list_lines
from stvit_video.errors import MissingFileError


def read_video_list(path: Path) -> ListRows:
    """Read a list, whatever its form.

    Raises:
        MissingFileError, DatasetError: no such file, or what `read_list_lines` and
            `read_json_list` refuse.
    """
    return read_json_list(path) if looks_like_json(path) else read_list_lines(path)


def find_video_list(
    root: Path, list_path: Path, *, labels_path: Path | None = None
) -> AnnotatedVideos:
    """Find the videos of a list, whose paths are absolute or relative to `root`.

    Labels are indices, or names of which `labels_path` gives the order (without it: sorted). Of
    several rows of one video, or of one stretch of it, the first counts; `notes` counts the others.

    Raises:
        MissingFileError, DatasetError: no such file or folder, or a label outside the classes.
    """
    if not root.is_dir():
        raise MissingFileError(f"video folder {root} does not exist")
    found = read_video_list(list_path)
    class_names = list_classes(((row.where, row.label) for row in found.rows), labels_path)
    classes, files = ClassIndex(class_names), ListedFiles(root)
    videos: dict[tuple[object, ...], AnnotatedVideo] = {}
    repeated: dict[str, list[str]] = {"another": [], "the same": []}
    for row in found.rows:
        label = label_index(row.label, classes, where=f"{row.where}, {row.path}")
        video = AnnotatedVideo(row.path, label, files.find(row.path), row.num_frames, row.stretch)
        first = videos.setdefault((row.path, row.stretch), video)
        if first is not video:
            repeated["the same" if first.label == label else "another"].append(row.where)
    notes = [describe_rows(found.fields, len(found.rows), class_names), *found.notes]
    notes += [repeated_note(which, places) for which, places in repeated.items() if places]
    return AnnotatedVideos(tuple(videos.values()), class_names, (*notes, *files.notes()))


def repeated_note(which: str, places: Sequence[str]) -> str:
    """Count rows that repeat a video with `another` label or `the same`."""
    count = "1 row repeats" if len(places) == 1 else f"{len(places)} rows repeat"
    return f"{count} a video with {which} label; the first: {places[0]}"


class ListedFiles:
    """The files that a list names, as its paths are written or nearly so."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, dict[str, list[str]]] = {}
        self._with_slashes: list[str] = []
        self._of_other_suffix: list[tuple[str, str]] = []

    def find(self, name: str) -> Path | None:
        """Return the file of a path; one with backslashes is read with slashes, too."""
        for written in dict.fromkeys((name, name.replace("\\", "/"))):
            path = self.root / written
            if _is_file(path):
                if written != name:
                    self._with_slashes.append(name)
                return path
        path = self.root / name.replace("\\", "/")
        others = self._names_by_stem(path.parent).get(path.stem, [])
        if others:
            self._of_other_suffix.append((name, others[0]))
        return None

    def notes(self) -> Iterable[str]:
        """Say what was found otherwise than it is written, and what might have been meant."""
        if self._with_slashes:
            first, count = self._with_slashes[0], len(self._with_slashes)
            yield f"paths with backslashes, read as slashes: {count}; the first: {first}"
        if self._of_other_suffix:
            name, other = self._of_other_suffix[0]
            yield (
                f"missing, but there with another suffix: {len(self._of_other_suffix)}, such as"
                f" {other} for {name}; write the list with those names"
            )

    def _names_by_stem(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._folders:
            found: dict[str, list[str]] = {}
            for path in sorted(folder.iterdir()) if _is_folder(folder) else ():
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    found.setdefault(path.stem, []).append(path.name)
            self._folders[folder] = found
        return self._folders[folder]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
