"""Draw persons and what they do over a film, as a movie that any browser plays.

Legend: T frames, H W pixels, C colours.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch
from av.error import FFmpegError
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from stvit_video.datasets.ava.clips import ClipReading
from stvit_video.detection.actions.predict import PersonActions, by_second
from stvit_video.detection.pictures.answers import Detections
from stvit_video.detection.pictures.draw import Picture, draw_objects
from stvit_video.files import replacing
from stvit_video.video.decoding.open import open_video
from stvit_video.video.numbered import write_pictures

_MOST_FRAMES = 1800
_MOST_SIDE = 960
_AT_ONCE = 8
_AROUND = 0.5
"""Seconds ahead of the first key frame and behind the last that are shown."""


def draw_movie(
    video: Path,
    found: tuple[PersonActions, ...],
    path: Path,
    *,
    reading: ClipReading,
    min_score: float,
) -> None:
    """Write the part of a film around its key frames, boxes moving evenly between them.

    A person has one colour; its best action stands at the box, with its score, and others from
    `min_score`. Of very many frames every n-th is shown.

    Raises:
        VideoDecodeError: the film cannot be read.
        WriteError: the disk refuses the movie.
    """
    data, first = reading.data, reading.first_second
    seconds = list(by_second(found))
    start, end = (seconds[place][0] - first for place in (0, -1))
    with (
        open_video(video, backend=data.backend, max_pixels=data.max_pixels) as decoder,
        replacing(path, FFmpegError) as partial_path,
        TemporaryDirectory(dir=partial_path.parent) as place,
    ):
        times = decoder.times()
        shown = np.flatnonzero((times >= start - _AROUND) & (times <= end + _AROUND))
        shown = shown[:: -(-len(shown) // _MOST_FRAMES)]

        def pictures() -> Iterator[Picture]:
            numbers = iter(times[shown].tolist())
            for part in decoder.parts(shown.tolist(), _AT_ONCE):
                for frame in _small(cast(Tensor, part)):
                    persons = _persons_at(next(numbers) + first, seconds)
                    yield _draw(frame, persons, min_score)

        movie = Path(place, path.name)
        order = np.arange(len(shown))
        ticks = np.round(1000 * (times[shown] - times[shown[0]])) - order
        ticks = (np.maximum.accumulate(ticks) + order).astype(np.int64)  # no two are the same
        options = {"preset": "veryfast", "crf": "23", "x264-params": "log=-1"}
        write_pictures(
            movie,
            pictures(),
            options=options,
            container_options={"movflags": "faststart"},
            times=ticks.tolist(),
        )
        os.replace(movie, partial_path)


def _persons_at(
    second: float, seconds: list[tuple[float, list[PersonActions]]]
) -> list[tuple[PersonActions, NDArray[np.float64]]]:
    """Return the persons of the nearest key frame, and where they are by now."""
    nearest = min(range(len(seconds)), key=lambda number: abs(seconds[number][0] - second))
    at, persons = seconds[nearest]
    if abs(at - second) > _AROUND + 1e-6:
        return []
    other = nearest + (1 if second >= at else -1)
    later, others = seconds[other] if 0 <= other < len(seconds) else (at, [])
    moved = []
    for person in persons:
        box = np.array(person.box)
        same = [p for p in others if p.track == person.track]
        if same:
            share = (second - at) / (later - at)
            box = (1 - share) * box + share * np.array(same[0].box)
        moved.append((person, box))
    return moved


def _draw(
    frame: Picture, persons: list[tuple[PersonActions, NDArray[np.float64]]], min_score: float
) -> Picture:
    height, width = frame.shape[:2]
    words, boxes = {}, []
    for person, box in persons:
        best, *others = person.actions
        also = ", ".join(a["label"] for a in others if a["score"] >= min_score)
        words[person.track] = f"{best['label']} (also {also})" if also else best["label"]
        boxes.append(box * [width, height, width, height])
    if not boxes:
        return frame
    labels = [words.get(track, "") for track in range(max(words) + 1)]
    drawn = Detections(
        boxes=torch.from_numpy(np.array(boxes, dtype=np.float32)),
        labels=[person.track + 1 for person, _ in persons],
        scores=[person.actions[0]["score"] for person, _ in persons],
        masks=None,
    )
    return draw_objects(frame, drawn, labels)


def _small(frames: Tensor) -> NDArray[np.uint8]:
    """Bring frames (T, H, W, C) to even sides of a movie, at most `_MOST_SIDE`."""
    height, width = frames.shape[1:3]
    factor = min(_MOST_SIDE / max(height, width), 1)
    size = [max(round(side * factor / 2), 1) * 2 for side in (height, width)]
    pixels = F.resize(frames.permute(0, 3, 1, 2), size, antialias=True)
    return pixels.permute(0, 2, 3, 1).numpy()
