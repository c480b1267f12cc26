"""What the persons of a film do, second by second: a record, a table and a movie.

Legend: N boxes, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stvit_video.datasets.ava.annotations import ActionBoxes
from stvit_video.datasets.ava.clips import ActionClips, ClipReading
from stvit_video.detection.actions.evaluate import score_boxes
from stvit_video.detection.actions.network import ActionDetector
from stvit_video.detection.actions.tracks import link_boxes
from stvit_video.errors import DatasetError
from stvit_video.report.tables import Column, Table, make_table
from stvit_video.video.decoding.open import open_video


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonActions:
    """What one person does at a second of the film."""

    second: float
    track: int
    """The person: boxes that follow each other, see `link_boxes`."""
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 as shares of width and height."""
    actions: tuple[dict[str, Any], ...]
    """Index, label and score of the best actions, best first."""


def find_actions(
    detector: ActionDetector,
    video: Path,
    persons: ActionBoxes | None,
    *,
    reading: ClipReading,
    top_k: int,
    batch_size: int,
    device: torch.device,
) -> tuple[PersonActions, ...]:
    """Score what each person does; without `persons` the whole frame, at every second.

    Persons are those of the film that is called as the file is, without its suffix.

    Raises:
        DatasetError: there is none of this film, or no key frame can be read.
        VideoDecodeError: the file cannot be opened.
    """
    boxes = _whole_frames(video, reading) if persons is None else _of_film(persons, video)
    clips = ActionClips(
        boxes, dict.fromkeys(boxes.videos, video), reading, num_classes=len(detector.action_ids)
    )
    scores, failed = score_boxes(
        detector, clips, device=device, batch_size=batch_size, advance=lambda _: None
    )
    frames = [frame for frame in range(len(boxes)) if frame not in failed]
    seconds = boxes.frame_second.tolist()
    own = [boxes.boxes_of(frame) for frame in frames]
    tracks = link_boxes([seconds[frame] for frame in frames], [boxes.boxes[part] for part in own])
    return tuple(
        PersonActions(
            second=seconds[frame],
            track=track,
            box=tuple(boxes.boxes[row].tolist()),
            actions=_best(scores[row], detector.labels.names, top_k),
        )
        for frame, part, numbers in zip(frames, own, tracks, strict=True)
        for row, track in zip(range(part.start, part.stop), numbers, strict=True)
    )


def actions_table(video: str, found: tuple[PersonActions, ...]) -> Table:
    """Make the table of the best action of each person at each second."""
    return make_table(
        f"{video}: actions of {len({person.track for person in found})} persons",
        ["second", "person", "action", Column(title="score", format=".3f")],
        [
            [f"{p.second:g}", str(p.track), p.actions[0]["label"], p.actions[0]["score"]]
            for p in found
        ],
    )


def _whole_frames(video: Path, reading: ClipReading) -> ActionBoxes:
    """Return a box of the whole frame for every second that the file shows."""
    data = reading.data
    with open_video(video, backend=data.backend, max_pixels=data.max_pixels) as decoder:
        duration = decoder.info.duration_seconds
    seconds = reading.first_second + np.arange(max(int(np.ceil(duration)), 1))
    number = len(seconds)
    return ActionBoxes(
        videos=(video.stem,),
        frame_video=np.zeros(number, np.int32),
        frame_second=seconds.astype(np.float64),
        box_frame=np.arange(number),
        boxes=np.tile(np.array([0, 0, 1, 1], np.float32), (number, 1)),
        scores=np.ones(number, np.float32),
        label_box=np.zeros(0, np.int64),
        label_class=np.zeros(0, np.int32),
    )


def _of_film(persons: ActionBoxes, video: Path) -> ActionBoxes:
    is_own = np.array([name == video.stem for name in persons.videos], dtype=bool)
    held = persons.pick(is_own[persons.frame_video]).with_boxes()
    if not len(held):
        raise DatasetError(f"boxes has no person of the film {video.stem!r}; name it as its file")
    return held


def _best(
    scores: NDArray[np.float32], labels: tuple[str, ...], top_k: int
) -> tuple[dict[str, Any], ...]:
    order = np.argsort(-scores, kind="stable")[:top_k].tolist()
    return tuple(
        {"index": index, "label": labels[index], "score": float(scores[index])} for index in order
    )


def by_second(found: tuple[PersonActions, ...]) -> Iterator[tuple[float, list[PersonActions]]]:
    """Yield the persons of each second, in order."""
    for second in sorted({person.second for person in found}):
        yield second, [person for person in found if person.second == second]
