"""Objects in pictures as COCO writes them: boxes, classes and masks, read from one JSON file.

Legend: M images, N objects of all images, n of one, K classes.
"""

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stvit_video.datasets.coco.image_table import ImageTable, read_images
from stvit_video.datasets.coco.masks import (
    Masks,
    drop_segmentation,
    pack_segmentation,
    read_masks,
)
from stvit_video.datasets.coco.rows import Rows
from stvit_video.errors import DatasetError, MissingFileError
from stvit_video.settings.bounds import Range, shorten
from stvit_video.untrusted import read_text

MOST_BYTES = 2**32
"""Of a file: nine times that of COCO's training part."""
MOST_AREA = 2**32
MOST_OUTSIDE = 1.0
"""Pixels that a box may reach over the border of its image: by rounding, some of COCO's do."""


class Objects(NamedTuple):
    """The objects of one image."""

    boxes: Tensor
    """float64 (n, 4): left, top, right, bottom, as the file says."""
    labels: Tensor
    """int64 (n,): 1..K."""
    areas: Tensor
    """float64 (n,): of the masks, in pixels."""
    is_crowd: Tensor
    """bool (n,): several objects in one."""
    ids: Tensor
    """int64 (n,): of the annotations."""
    rows: range
    """Which objects of the set they are, for `CocoSet.masks`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CocoSet:
    """Images and their objects, in tensors: object i of an image lies in `bounds[image] + i`."""

    path: Path
    """Of the annotations."""
    folder: Path
    """Of the images."""
    images: ImageTable
    bounds: Tensor
    """int64 (M + 1,)."""
    boxes: Tensor
    """float64 (N, 4)."""
    labels: Tensor
    """int64 (N,)."""
    areas: Tensor
    """float64 (N,)."""
    is_crowd: Tensor
    """bool (N,)."""
    ids: Tensor
    """int64 (N,)."""
    masks: Masks | None
    class_names: tuple[str, ...]
    """K names, of the labels 1..K."""
    category_ids: tuple[int, ...]
    """K ids of the file; those of COCO have holes."""
    num_without_area: int
    """Objects that were left out."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        """Number of classes, the background not counted."""
        return len(self.class_names)

    @property
    def notes(self) -> list[str]:
        """What a reader must know: a line for each thing that was left out."""
        count = self.num_without_area
        objects = "1 object whose box has" if count == 1 else f"{count} objects whose boxes have"
        return [f"{self.path}: {objects} no area left out"] if count else []

    def objects(self, index: int) -> Objects:
        """Return the objects of an image."""
        start, end = self.bounds[index : index + 2].tolist()
        own = slice(start, end)
        return Objects(
            self.boxes[own],
            self.labels[own],
            self.areas[own],
            self.is_crowd[own],
            self.ids[own],
            range(start, end),
        )


def read_coco(
    path: Path,
    folder: Path | None = None,
    *,
    class_names: Sequence[str] | None = None,
    masks: bool,
) -> CocoSet:
    """Read the objects of a COCO file, and see that its images lie in `folder`.

    Without `folder` they lie beside the file. Labels are in the order of the category ids or, with
    the `class_names` of a trained model, in theirs. Without `masks` segmentations are not read.

    Raises:
        MissingFileError: there is no such file.
        DatasetError: it is no COCO file, or something in it cannot be; or images are missing.
    """
    path, folder = Path(path), Path(path).parent if folder is None else Path(folder)
    content = _parse(path, pack_segmentation if masks else drop_segmentation)
    images = Rows(path, content, "images", "image")
    categories = Rows(path, content, "categories", "category")
    annotations = Rows(path, content, "annotations", "annotation")
    del content
    names, label_of = _order_classes(categories, class_names)
    table = read_images(images, folder)
    sizes = table.sizes.numpy()  # (M, 2)
    image = annotations.positions("image_id", images)  # (N,)
    label = label_of[annotations.positions("category_id", categories)]  # (N,)
    is_crowd = annotations.whole("iscrowd", Range(least=0, most=1), default=0)
    boxes, has_area = _read_boxes(annotations, sizes[image])
    areas = _read_areas(annotations, boxes)
    order = np.flatnonzero(has_area)
    if not len(order):
        raise DatasetError(f"{path}: no box has an area; there is nothing to find")
    order = order[image[order].argsort(kind="stable")]  # the objects of an image side by side
    return CocoSet(
        path=path,
        folder=folder,
        images=table,
        bounds=torch.from_numpy(np.searchsorted(image[order], np.arange(len(images) + 1))),
        boxes=torch.from_numpy(boxes[order]),
        labels=torch.from_numpy(label[order]),
        areas=torch.from_numpy(areas[order]),
        is_crowd=torch.from_numpy(is_crowd[order] > 0),
        ids=torch.from_numpy(annotations.ids[order]),
        masks=read_masks(annotations, order.tolist(), sizes[image[order]]) if masks else None,
        class_names=names,
        category_ids=tuple(categories.ids[label_of.argsort()].tolist()),
        num_without_area=len(boxes) - len(order),
    )


def _parse(path: Path, keep: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Parse the file; `keep` makes what is kept of an object, as soon as it is parsed."""
    if not path.exists():
        raise MissingFileError(
            f"annotations {path} do not exist; give the JSON file of COCO's form"
        )
    if path.is_dir():
        raise DatasetError(
            f"annotations {path} are a folder; give the JSON file of COCO's form, and the folder of"
            " its images as media"
        )
    text = read_text(path, DatasetError, most=MOST_BYTES)
    try:
        with _no_collection():
            content = json.loads(text, object_hook=keep)
    except RecursionError as error:  # of a parser that watches its own stack
        raise DatasetError(f"{path} nests too deep to be a COCO file") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise DatasetError(
            f"{path} must hold an object with images, annotations and categories, as COCO's files"
            f" do; it holds a {type(content).__name__}"
        )
    return content


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let no collection look through all that is parsed again and again: none of it is garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _order_classes(
    categories: Rows, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the class names, and the label of each row of the categories."""
    names = categories.texts("name")
    categories.refuse_doubles(names, "name")
    if class_names is None:
        order = categories.ids.argsort()
        class_names = [names[row] for row in order]
    elif unknown := sorted(set(names) ^ set(class_names)):
        where = "only the file has" if unknown[0] in names else "only the model has"
        raise DatasetError(
            f"{categories.path}: the {len(names)} categories must be the {len(class_names)} classes"
            f" of the model; {where} {unknown[0]!r}; correct the names, or train anew"
        )
    label_of = {name: label for label, name in enumerate(class_names, start=1)}
    return tuple(class_names), np.array([label_of[name] for name in names], np.int64)


def _read_boxes(
    annotations: Rows, sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return boxes (N, 4) as left, top, right, bottom, and which have an area inside the image."""
    boxes = annotations.numbers("bbox", 4, "left, top, width, height in pixels")
    values = boxes.copy()
    boxes[:, 2:] += boxes[:, :2]
    border = sizes[:, ::-1]  # (N, 2): width, height
    inside = clip_boxes(torch.from_numpy(boxes), torch.from_numpy(sizes)).numpy()
    least, most = boxes[:, :2] >= -MOST_OUTSIDE, boxes[:, 2:] <= border + MOST_OUTSIDE
    fits_across, fits_down = ((values[:, 2:] >= 0) & least & most).T
    is_wrong = ~(fits_across & fits_down)

    def tell(row: int) -> str:
        width, height = border[row]
        return (
            f"bbox ({', '.join(format(v, 'g') for v in values[row])}: left, top, width, height)"
            f" must lie in its image of {width}x{height} pixels; correct it, or leave it out"
        )

    annotations.refuse_first(is_wrong, tell)
    wide, high = (inside[:, 2:] > inside[:, :2]).T
    return boxes, wide & high


def clip_boxes(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Clip boxes (n, 4) to images of `sizes` H, W, (n, 2) or (2,): float32 (n, 4)."""
    border = sizes.flip(-1).to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), torch.cat([border, border], dim=-1)).float()


def _read_areas(annotations: Rows, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas (N,); those of the boxes where the file gives none."""
    values = annotations.values("area")
    of_boxes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    for row, value in enumerate(values):
        if value is None and "area" not in annotations.rows[row]:
            values[row] = float(of_boxes[row])
        elif type(value) not in (int, float) or not 0 <= value <= MOST_AREA:
            raise annotations.refuse(
                row, f"area ({shorten(value)}) must be a number in 0..{MOST_AREA}"
            )
    return np.array(values, np.float64)
