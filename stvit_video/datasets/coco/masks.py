"""Masks of objects as COCO writes them, polygons or runs (RLE), kept small and drawn when asked.

Legend: n objects, H W pixels, P coordinates, Q polygons.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as pycoco
from torch import Tensor

from stvit_video.datasets.coco.rows import NUMBERS, Rows, as_numbers
from stvit_video.datasets.columns import GrowingTexts, Texts

LEAST_COORDINATES = 6
_NEXT_STEP = "correct it, or find boxes alone (detector.name faster_rcnn or retinanet)"


class Runs(TypedDict):
    """A mask as runs of 0 and 1, column by column; `counts` is pycocotools's text."""

    size: list[int]
    """H, W."""
    counts: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Masks:
    """The masks of n objects in tensors, so that workers share them."""

    coordinates: Tensor
    """float64 (P,): x, y, x, y ... of all polygons, one behind the other."""
    polygon_bounds: Tensor
    """int64 (Q + 1,): where in `coordinates` each polygon begins, and where the last one ends."""
    object_bounds: Tensor
    """int64 (n + 1,): which polygons are of which object."""
    counts: Texts
    """n texts: the runs of an object; empty where it has polygons."""

    def runs(self, row: int, height: int, width: int) -> Runs:
        """Return the mask of an object as runs."""
        (counts,) = self.counts.read(torch.tensor([row]))
        if counts:
            return Runs(size=[height, width], counts=counts)
        first, last = self.object_bounds[row : row + 2].tolist()
        bounds = self.polygon_bounds[first : last + 1].tolist()
        polygons = [self.coordinates[start:end].tolist() for start, end in pairwise(bounds)]
        merged = pycoco.merge(pycoco.frPyObjects(polygons, height, width))
        return Runs(size=[height, width], counts=merged["counts"].decode())

    def draw(self, rows: Sequence[int], height: int, width: int) -> Tensor:
        """Return the masks of some objects: uint8 (n, H, W), 1 inside."""
        if not rows:
            return torch.zeros(0, height, width, dtype=torch.uint8)
        drawn = pycoco.decode([self.runs(row, height, width) for row in rows])  # (H, W, n)
        return torch.from_numpy(np.ascontiguousarray(drawn.transpose(2, 0, 1)))


def encode_mask(mask: NDArray[np.bool_]) -> Runs:
    """Write a mask (H, W) as runs."""
    runs = pycoco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Runs(size=list(mask.shape), counts=runs["counts"].decode())


def pack_segmentation(node: dict[str, Any]) -> dict[str, Any]:
    """Turn the lists of numbers of a parsed object into arrays, a tenth as large.

    What is no list of numbers stays as it is, for `read_masks` to refuse.
    """
    segmentation, counts = node.get("segmentation"), node.get("counts")
    if type(segmentation) is list and set(map(type, segmentation)) == {list}:
        with suppress(OverflowError):  # a whole number of some hundred digits
            if set(map(type, chain.from_iterable(segmentation))) <= NUMBERS:
                node["segmentation"] = tuple(map(np.array, segmentation, repeat(np.float64)))
    if type(counts) is list and (numbers := as_numbers(counts)) is not None:
        node["counts"] = numbers
    return node


def drop_segmentation(node: dict[str, Any]) -> dict[str, Any]:
    """Forget the mask of a parsed object."""
    node.pop("segmentation", None)
    return node


def read_masks(rows: Rows, order: Sequence[int], sizes: NDArray[np.int64]) -> Masks:
    """Read the masks of some rows, in that order; `sizes` (n, 2) are H and W of their images.

    Raises:
        DatasetError: one is missing, is of another size, or cannot be a mask.
    """
    polygons: list[tuple[NDArray[np.float64], ...]] = []
    counts = GrowingTexts()
    for row, (height, width) in zip(order, sizes.tolist(), strict=True):
        segmentation = rows.rows[row].pop("segmentation", None)  # lets go of it
        if type(segmentation) is tuple:
            counts.extend(("",))
            polygons.append(segmentation)
        elif isinstance(segmentation, dict):
            counts.extend([_read_runs(rows, row, segmentation, height, width)])
            polygons.append(())
        else:
            what = "is missing" if segmentation in (None, []) else "holds what is no number"
            raise rows.refuse(
                row, f"segmentation {what}; it must be a list of polygons or an RLE; {_NEXT_STEP}"
            )
    lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))  # (n,) polygons
    flat = list(chain.from_iterable(polygons))
    _check_polygons(rows, np.repeat(order, lengths), np.repeat(sizes, lengths, axis=0), flat)
    return Masks(
        coordinates=torch.from_numpy(np.concatenate([np.empty(0), *flat])),
        polygon_bounds=_bounds(np.fromiter(map(len, flat), np.int64, len(flat))),
        object_bounds=_bounds(lengths),
        counts=counts.column(),
    )


def _bounds(lengths: NDArray[np.int64]) -> Tensor:
    """Return where each piece begins, and where the last one ends: one more than there are."""
    return torch.from_numpy(np.concatenate([[0], lengths.cumsum()]))


def _check_polygons(
    rows: Rows,
    order: NDArray[np.int64],
    sizes: NDArray[np.int64],
    polygons: list[NDArray[np.float64]],
) -> None:
    """Refuse a polygon that cannot be: of which row (Q,), in an image of which H and W (Q, 2)."""
    if not polygons:
        return
    lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
    is_odd = (lengths < LEAST_COORDINATES) | (lengths % 2 > 0)
    if is_odd.any():
        at = int(is_odd.argmax())
        raise rows.refuse(
            int(order[at]),
            f"a polygon of {lengths[at]} numbers; it must have pairs x, y, at least"
            f" {LEAST_COORDINATES // 2}; {_NEXT_STEP}",
        )
    points = np.concatenate(polygons).reshape(-1, 2)
    starts = np.concatenate([[0], lengths.cumsum()[:-1]]) // 2
    least, most = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    border = sizes[:, ::-1]  # (Q, 2): width, height
    is_far = ~((least >= -border) & (most <= 2 * border)).all(axis=1)  # nan is, too
    if is_far.any():
        at = int(is_far.argmax())
        raise rows.refuse(
            int(order[at]),
            f"a polygon reaches from {least[at, 0]:g}, {least[at, 1]:g} to {most[at, 0]:g},"
            f" {most[at, 1]:g}, far outside of its image of {border[at, 0]}x{border[at, 1]} pixels;"
            f" {_NEXT_STEP}",
        )


def _read_runs(rows: Rows, row: int, runs: dict[str, Any], height: int, width: int) -> str:
    """Check an RLE, as text or as a list of counts; return it as text."""
    if runs.get("size") != [height, width]:
        raise rows.refuse(
            row,
            f"the mask has the size {runs.get('size')} and its image {[height, width]} (height,"
            f" width); {_NEXT_STEP}",
        )
    counts = runs.get("counts")
    lengths = _parse_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, np.ndarray) or not _fill(lengths, height * width):
        raise rows.refuse(
            row,
            f"the counts of its RLE must be whole numbers that add up to the {height * width}"
            f" pixels of the image; {_NEXT_STEP}",
        )
    if isinstance(counts, str):
        return counts
    plain = {"size": [height, width], "counts": lengths.astype(np.int64).tolist()}
    return pycoco.frPyObjects(plain, height, width)["counts"].decode()


def _fill(lengths: NDArray[np.float64], num_pixels: int) -> bool:
    """Whether runs of these lengths are all pixels of an image."""
    is_whole = (lengths >= 0).all() and (lengths % 1 == 0).all()
    return bool(is_whole and lengths.sum() == num_pixels)


def _parse_counts(text: str) -> NDArray[np.float64] | None:
    """Read pycocotools's text: 5 bits a letter, the lowest first, and a bit that says go on.

    From the fourth on, a number is the difference to the one two before it.
    """
    letters = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not len(letters) or letters.min() < 0 or letters.max() > 63 or letters[-1] & 0x20:
        return None
    ends = np.flatnonzero(letters & 0x20 == 0)  # (number of counts,)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 5:  # more than 30 bits
        return None
    place = np.arange(len(letters)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((letters & 0x1F) << (5 * place), starts)
    values -= (letters[ends] >> 4 & 1) << (5 * (ends - starts + 1))  # the sign
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values.astype(np.float64)
