"""Videos sorted into one folder per class."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.records import Records, VideoRecord
from stvit_video.errors import DatasetError, MissingFileError, did_you_mean

VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts"),
    *(".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".qt", ".vob", ".mxf", ".divx"),
    *(".m1v", ".m2v", ".mjpg", ".mjpeg", ".h264", ".264", ".h265", ".265", ".hevc", ".gif"),
)


def find_class_folders(root: str | Path, *, class_names: Sequence[str] | None = None) -> Manifest:
    """List the videos of `root/CLASS/*.mp4` (and other video suffixes), sorted by path.

    The classes are the sorted names of the folders, or `class_names` in their own order, of which
    some may then have no folder.

    Raises:
        MissingFileError: `root` is no folder.
        DatasetError: there is no class folder, one holds no video, or one is no class.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError(f"data folder {root} does not exist; it must hold class folders")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    if not folders:
        raise DatasetError(f"data folder {root} holds no class folders: one folder per class")
    if class_names is None:
        class_names = [folder.name for folder in folders]
    index_of = {name: index for index, name in enumerate(class_names)}
    records = Records.of(_records(folders, index_of), folder=root)
    return Manifest(records, tuple(class_names))


def find_videos(folder: Path) -> list[Path]:
    """List the videos directly in `folder`, sorted."""
    return sorted(path for path in folder.iterdir() if is_video_name(path.name))


def find_videos_below(folder: Path) -> list[Path]:
    """List the videos in `folder` and its folders, at any depth but in hidden ones, sorted.

    Raises:
        DatasetError: there is none.
    """
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    found = sorted(
        folder / path
        for path in inside
        if is_video_name(path.name) and not any(name[0] == "." for name in path.parts)
    )
    if not found:
        raise DatasetError(f"folder {folder} holds no videos, at any depth")
    return found


def count_left_out(root: Path) -> dict[str, int]:
    """Count what class folders hold and is not taken for a video: by suffix, `hidden`, `folder`."""
    folders = (path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    others = (path for folder in folders for path in folder.iterdir())
    return dict(Counter(kind for path in others if (kind := _kind_left_out(path))).most_common())


def describe_left_out(counts: Mapping[str, int]) -> str:
    """Say in words what `count_left_out` counted: `3 files and 1 folder`; nothing of nothing."""
    num_folders = counts.get("folder", 0)
    numbers = {"file": sum(counts.values()) - num_folders, "folder": num_folders}
    return " and ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in numbers.items() if n)


def _kind_left_out(path: Path) -> str:
    """Return what a path is that is no video; nothing of a video."""
    if path.name.startswith("."):
        return "hidden"
    if is_video_name(path.name):
        return ""
    return "folder" if path.is_dir() else path.suffix.lower() or "no suffix"


def is_video_name(name: str) -> bool:
    """Whether a file of that name is taken for a video: by its suffix, and never a hidden one."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")


def _records(folders: Sequence[Path], index_of: dict[str, int]) -> Iterator[VideoRecord]:
    """Yield the videos of every class folder, by paths relative to the folder of folders."""
    for folder in folders:
        if folder.name not in index_of:
            raise DatasetError(
                f"class folder {folder} is none of the {len(index_of)} classes"
                f"{did_you_mean(folder.name, list(index_of))}"
            )
        paths = find_videos(folder)
        if not paths:
            raise DatasetError(_no_videos(folder))
        for path in paths:
            yield VideoRecord(Path(folder.name, path.name), index_of[folder.name])


def _no_videos(folder: Path) -> str:
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if inner:
        return (
            f"class folder {folder} holds no videos but folders, {inner[0]!r} the first;"
            f" if those are the classes, give {folder}"
        )
    return f"class folder {folder} holds no videos; add some or remove it"
