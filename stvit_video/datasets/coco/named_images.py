"""Images as they are named on a command line: files, folders, patterns."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stvit_video.datasets.coco.decode import IMAGE_SUFFIXES
from stvit_video.errors import DatasetError, MissingFileError


def find_named_images(words: Sequence[str]) -> list[Path]:
    """Find the images that `words` name, each once, in their order.

    A word is an image, a folder (with images at any depth, hidden ones left out) or a pattern such
    as `photos/*.jpg`.

    Raises:
        MissingFileError: a file is not there.
        DatasetError: a folder holds no image, or a pattern fits none.
    """
    return list({path: None for word in words for path in _find(word)})


def _find(word: str) -> list[Path]:
    if os.path.isdir(word):
        found = sorted(_walk(word))
        if not found:
            raise DatasetError(f"folder {word} holds no image ({', '.join(IMAGE_SUFFIXES)})")
        return found
    if os.path.lexists(word):
        return [Path(word)]
    if not set("*?") & set(word):
        raise MissingFileError(f"image {word} does not exist")
    found = [Path(match) for match in sorted(glob.glob(word, recursive=True))]
    if not found:
        raise DatasetError(f"pattern {word} fits no file; put it in quotes, as in 'photos/*.jpg'")
    return found


def _walk(folder: str) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield Path(root, name)
