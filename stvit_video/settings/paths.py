"""Files and folders that commands read. What is not there is told before torch is imported."""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from stvit_video.errors import DatasetError, MissingFileError, VideoDecodeError

SAFETENSORS = ".safetensors"
PICKLES = (".bin", ".pth", ".pyth", ".pt", ".ckpt")

STANDARD_INPUT = "-"
LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl")
"""Of lists of videos."""

_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*)/[\w.-]+(@[\w./-]+)?")


def is_hub_id(source: str | Path) -> bool:
    """Whether the words could name a repository of the hub: `owner/name`, where no folder does."""
    match = _HUB_ID.fullmatch(str(source))
    return bool(
        match and not match[0].endswith((SAFETENSORS, *PICKLES)) and not Path(match[1]).exists()
    )


def check_checkpoint(name: str, source: str | Path) -> None:
    """Refuse what is neither there nor a hub id.

    Raises:
        MissingFileError: naming the setting and the path.
    """
    if not _is_there(source) and not is_hub_id(source):
        raise MissingFileError(f"{name} {source} does not exist; give the folder of a run")


def check_weights(name: str, source: str | Path) -> None:
    """Refuse weights to begin from that are neither there nor a hub id.

    Raises:
        MissingFileError: naming the path.
    """
    if not _is_there(source) and not is_hub_id(source):
        raise MissingFileError(missing_weights(source))


def missing_weights(source: str | Path) -> str:
    """Say that there is no such file, folder or hub id."""
    return (
        f"{source} does not exist; give a file, a folder or a hub id such as"
        " MCG-NJU/videomae-base-finetuned-kinetics"
    )


def check_video(name: str, path: str | Path) -> None:
    """Refuse a video that is not there.

    Raises:
        VideoDecodeError: as the decoder would.
    """
    if not Path(path).exists():
        raise VideoDecodeError(Path(path), backend="auto", stage="open", reason="missing")


def check_video_words(words: Sequence[str]) -> None:
    """Refuse a word that names no file, and a pattern that fits none.

    Raises:
        VideoDecodeError: as the decoder would.
        DatasetError: naming the pattern.
    """
    for word in words:
        if word == STANDARD_INPUT or os.path.lexists(word):
            continue
        if not set("*?") & set(word):
            check_video("", word)
        elif next(glob.iglob(word, recursive=True), None) is None:
            raise DatasetError(
                f"pattern {word} fits no file; put it in quotes, as in 'clips/*.mp4'"
            )


def check_videos(name: str, path: str | Path) -> None:
    """Refuse a data set, a manifest or a folder of class folders, that is not there.

    Raises:
        MissingFileError: naming the path.
    """
    path = Path(path)
    if path.suffix == ".csv" and not path.is_file():
        raise MissingFileError(
            f"manifest {path} does not exist; write one with `stvit-video data manifest`"
        )
    if not path.exists():
        raise MissingFileError(f"data folder {path} does not exist; it must hold class folders")


def check_labels(name: str, path: str | Path) -> None:
    """Refuse a list of class names that is not there.

    Raises:
        MissingFileError: naming the path.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"file of class names {path} does not exist")


def check_there(name: str, path: str | Path) -> None:
    """Refuse a file or folder that is not there.

    Raises:
        MissingFileError: naming the setting and the path.
    """
    if not Path(path).exists():
        raise MissingFileError(f"{name} {path} does not exist")


def _is_there(source: str | Path) -> bool:
    return Path(source).expanduser().exists()


CheckpointSource = Annotated[str, check_checkpoint]
WeightsSource = Annotated[str, check_weights]
WeightsPath = Annotated[Path, check_weights]
VideoPath = Annotated[Path, check_video]
VideosPath = Annotated[Path, check_videos]
LabelsPath = Annotated[Path, check_labels]
InputPath = Annotated[Path, check_there]
