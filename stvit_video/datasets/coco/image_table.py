"""The images that a COCO file names: their files, looked for at once, ids and sizes.

Legend: M images.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from stvit_video.datasets.coco.rows import Rows
from stvit_video.datasets.columns import GrowingTexts, Texts
from stvit_video.errors import DatasetError
from stvit_video.settings.bounds import Range, shorten

MOST_SIDE = 65_535
"""Pixels of a side of an image, as many as JPEG can have."""
_SHOWN = 3


class CocoImage(NamedTuple):
    """One image of a set."""

    path: Path
    id: int
    """In the file."""
    height: int
    width: int


class ImageTable(Sequence[CocoImage]):
    """The images of a set in columns that workers share; each is made when it is asked for."""

    def __init__(self, folder: Path, names: Texts, ids: Tensor, sizes: Tensor) -> None:
        """Take names below `folder`, ids int64 (M,) and heights and widths int64 (M, 2)."""
        self.folder = folder
        self.names = names
        self.ids = ids
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> CocoImage: ...

    @overload
    def __getitem__(self, index: slice) -> list[CocoImage]: ...

    def __getitem__(self, index: int | slice) -> CocoImage | list[CocoImage]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        row = range(len(self))[index]
        (name,) = self.names.read(torch.tensor([row]))
        return CocoImage(self.folder / name, int(self.ids[row]), *self.sizes[row].tolist())

    def __iter__(self) -> Iterator[CocoImage]:
        return (self[row] for row in range(len(self)))


def read_images(rows: Rows, folder: Path) -> ImageTable:
    """Read the rows of a list of images, whose files must lie in `folder`.

    Raises:
        DatasetError: a size or a name cannot be, or files are missing.
    """
    side = Range(least=1, most=MOST_SIDE)
    sizes = np.stack([rows.whole(name, side) for name in ("height", "width")], axis=1)
    names = _check_names(rows, folder)
    return ImageTable(folder, names, torch.from_numpy(rows.ids), torch.from_numpy(sizes))


def _check_names(images: Rows, folder: Path) -> Texts:
    """Return the names of the image files, which must lie in `folder`, each folder listed once."""
    names = images.texts("file_name")
    folders: dict[str, list[str]] = {}
    for row, name in enumerate(names):
        parts = PurePosixPath(name).parts
        if name[0] == "/" or ".." in parts or set("\0\\") & set(name) or not _is_storable(name):
            raise images.refuse(
                row, f"file_name ({shorten(name)!r}) must be a path below the folder of the images"
            )
        head, _, tail = name.rpartition("/")
        folders.setdefault(head, []).append(tail)
    missing = []
    for head, tails in folders.items():
        there = _list_files(folder / head)
        missing += [os.path.join(head, tail) for tail in tails if tail not in there]
    if missing:
        named = ", ".join(map(repr, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        raise DatasetError(
            f"{images.path}: {len(missing)} of {len(names)} images are not in {folder}: {named};"
            " put them there, or name the folder of the images"
        )
    column = GrowingTexts()
    column.extend(names)
    return column.column()


def _is_storable(name: str) -> bool:
    """Whether a file can have the name: half of a pair of UTF-16 is no letter."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _list_files(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()
