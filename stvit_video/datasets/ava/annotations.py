"""Persons in key frames of films: their boxes, and what they do.

Legend: F key frames, N boxes, L actions of boxes, n boxes of a key frame, K classes.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stvit_video.datasets.ava.label_map import ActionLabels
from stvit_video.datasets.ava.rows import COLUMNS, Rows, read_rows
from stvit_video.errors import DatasetError


@dataclass(frozen=True)
class ActionBoxes:
    """Boxes by key frame, in order of film and second."""

    videos: tuple[str, ...]
    """Names of the films."""
    frame_video: NDArray[np.int32]
    """(F,): which film."""
    frame_second: NDArray[np.float64]
    """(F,): second of the film."""
    box_frame: NDArray[np.int64]
    """(N,): which key frame, ascending."""
    boxes: NDArray[np.float32]
    """(N, 4): x1, y1, x2, y2 as shares of width and height."""
    scores: NDArray[np.float32]
    """(N,): of detected persons; 1 of annotated ones."""
    label_box: NDArray[np.int64]
    """(L,): which box, ascending."""
    label_class: NDArray[np.int32]
    """(L,): index of an action that it does."""

    def __len__(self) -> int:
        return len(self.frame_video)

    @cached_property
    def box_starts(self) -> NDArray[np.int64]:
        """(F + 1,): first box of each key frame, and N."""
        return np.searchsorted(self.box_frame, np.arange(len(self) + 1))

    def boxes_of(self, frame: int) -> slice:
        """Return which boxes are those of a key frame."""
        return slice(*map(int, self.box_starts[frame : frame + 2]))

    def targets(self, boxes: slice, *, num_classes: int) -> NDArray[np.float32]:
        """Return what some boxes do: (n, K), 1 for each action."""
        found = np.zeros((boxes.stop - boxes.start, num_classes), dtype=np.float32)
        first, last = np.searchsorted(self.label_box, [boxes.start, boxes.stop])
        found[self.label_box[first:last] - boxes.start, self.label_class[first:last]] = 1
        return found

    def keys(self) -> list[tuple[str, float]]:
        """Return film and second of each key frame."""
        videos = [self.videos[video] for video in self.frame_video.tolist()]
        return list(zip(videos, self.frame_second.tolist(), strict=True))

    def pick(self, frames: NDArray[np.bool_], boxes: NDArray[np.bool_] | None = None) -> Self:
        """Return some key frames (F,), and of their boxes those (N,) that are asked for."""
        keep = frames[self.box_frame] if boxes is None else frames[self.box_frame] & boxes
        new_frame, new_box = np.cumsum(frames) - 1, np.cumsum(keep) - 1
        labels = keep[self.label_box]
        return replace(
            self,
            frame_video=self.frame_video[frames],
            frame_second=self.frame_second[frames],
            box_frame=new_frame[self.box_frame[keep]],
            boxes=self.boxes[keep],
            scores=self.scores[keep],
            label_box=new_box[self.label_box[labels]],
            label_class=self.label_class[labels],
        )

    def without(self, excluded: set[tuple[str, float]]) -> Self:
        """Leave out key frames by film and second."""
        return self.pick(np.array([key not in excluded for key in self.keys()], dtype=bool))

    def with_boxes(self) -> Self:
        """Leave out key frames without boxes."""
        return self.pick(np.diff(self.box_starts) > 0)


def read_actions(path: Path, labels: ActionLabels) -> ActionBoxes:
    """Read annotated boxes, `video_id,second,x1,y1,x2,y2,action_id,person_id`.

    Rows of one box and person are one box with several actions. Actions in the holes of the
    numbers of `labels` are left out: AVA measures 60 of 80.

    Raises:
        MissingFileError: there is no such file.
        DatasetError: a row is not as it must be, or its action is unknown.
    """
    rows = read_rows(path)
    actions, has_box = rows.column("action_id"), ~np.isnan(rows.column("x1"))
    most = max(labels.ids)
    is_whole = (actions >= 1) & (actions <= most) & (actions == np.floor(actions))
    rows.refuse(
        has_box & ~is_whole,
        "action_id",
        f"must be a whole number in 1..{most}, as the label map has them",
    )
    rows.refuse(~has_box & ~np.isnan(actions), "action_id", "has no box: give all four of it")
    persons = rows.column("last")
    is_person = np.isnan(persons) | (persons == np.floor(persons))
    rows.refuse(
        ~is_person, "last", "must be a whole number; scores are of detected persons",
        shown="person_id",
    )  # fmt: skip
    class_of = np.full(most + 1, -1, dtype=np.int32)
    class_of[list(labels.ids)] = np.arange(len(labels.ids))
    found = _gather(rows, np.where(has_box, class_of[np.nan_to_num(actions).astype(int)], -1))
    return replace(found, scores=np.ones_like(found.scores))


def read_persons(path: Path, *, threshold: float = 0.0) -> ActionBoxes:
    """Read detected persons, `video_id,second,x1,y1,x2,y2,,score`; what they do plays no part.

    Persons of a score below `threshold` are left out.

    Raises:
        MissingFileError: there is no such file.
        DatasetError: a row is not as it must be.
    """
    rows = read_rows(path)
    scores, has_box = rows.column("last"), ~np.isnan(rows.column("x1"))
    rows.refuse(
        has_box & ~((scores >= 0) & (scores <= 1)), "last", "must be in 0..1", shown="score"
    )
    found = _gather(rows, np.full(len(scores), -1))
    return found.pick(np.ones(len(found), dtype=bool), found.scores >= np.float32(threshold))


def read_excluded(path: Path) -> set[tuple[str, float]]:
    """Read key frames that are not measured, `video_id,second`: film and second of each.

    Raises as `read_persons`.
    """
    rows = read_rows(path)
    seconds = np.round(rows.column("second"), 6).tolist()
    videos = [rows.videos[video] for video in rows.video.tolist()]
    return set(zip(videos, seconds, strict=True))


def check_films(boxes: ActionBoxes, known: set[str], *, place: Path, folder: Path) -> None:
    """Refuse films that no file is there for.

    Raises:
        DatasetError: naming the first, and how many there are.
    """
    used = [boxes.videos[video] for video in np.unique(boxes.frame_video).tolist()]
    missing = [name for name in used if name not in known]
    if missing:
        raise DatasetError(
            f"{place} names {missing[0]!r}, of which {folder} holds no video ({len(missing)} of"
            f" {len(used)} films are missing); get them, or leave their rows out"
        )


def _gather(rows: Rows, classes: NDArray[np.int32] | NDArray[np.int64]) -> ActionBoxes:
    """Make one box of the rows that have it, and one key frame of those that share it.

    Its last column is taken for the score.
    """
    second = np.round(rows.column("second"), 6)
    sides = [rows.column(name) for name in COLUMNS[1:5]]
    has_box = ~np.isnan(sides[0])
    last = np.nan_to_num(rows.column("last"), nan=-1.0)
    keys: list[NDArray[Any]] = [
        rows.video,
        second,
        ~has_box,
        *(np.nan_to_num(side) for side in sides),
        last,
        classes,
    ]
    order = np.lexsort(keys[::-1])
    columns = [key[order] for key in keys]
    frame_of_row = _count(columns[:2])
    has_box = has_box[order]
    is_new_frame = _is_new(columns[:2])
    held = [column[has_box] for column in columns]
    box_of_row, is_new_box = _count(held[:-1]), _is_new(held[:-1])
    named = (held[-1] >= 0) & _is_new(held)
    boxes = np.stack(held[3:7], axis=1).astype(np.float32).reshape(-1, 4)[is_new_box]
    return ActionBoxes(
        videos=rows.videos,
        frame_video=columns[0][is_new_frame].astype(np.int32),
        frame_second=columns[1][is_new_frame],
        box_frame=frame_of_row[has_box][is_new_box],
        boxes=boxes,
        scores=held[7][is_new_box].astype(np.float32),
        label_box=box_of_row[named],
        label_class=held[-1][named].astype(np.int32),
    )


def _is_new(columns: list[NDArray[Any]]) -> NDArray[np.bool_]:
    """Say of each row whether it differs from the one before."""
    found = np.ones(len(columns[0]), dtype=bool)
    if len(found):
        found[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return found


def _count(columns: list[NDArray[Any]]) -> NDArray[np.int64]:
    return np.cumsum(_is_new(columns)) - 1
