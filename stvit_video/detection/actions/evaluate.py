"""Frame mAP of a detector of actions, on annotated boxes or on those of detected persons.

Legend: N boxes, F key frames, K classes that are measured.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from stvit_video.datasets.ava.annotations import (
    ActionBoxes,
    check_films,
    read_actions,
    read_excluded,
    read_persons,
)
from stvit_video.datasets.ava.batches import build_action_loader
from stvit_video.datasets.ava.clips import ActionClips, ClipReading, ClipSize
from stvit_video.datasets.ava.label_map import columns_of, read_label_map
from stvit_video.datasets.layouts.annotations import VideoFiles
from stvit_video.detection.actions.frame_ap import (
    MOST_IN_FRAME,
    as_actions,
    frame_average_precision,
    mean_of,
)
from stvit_video.detection.actions.network import ActionDetector, clip_multiple
from stvit_video.detection.actions.report import ActionReport, per_class, write_actions
from stvit_video.errors import DatasetError
from stvit_video.models.network.video_model import VideoModel
from stvit_video.report.progress import count_videos
from stvit_video.settings.data import DataConfig
from stvit_video.settings.detection import ActionFilesConfig
from stvit_video.settings.views import ViewConfig


class FilmSet(NamedTuple):
    """What is measured: annotations of key frames, and where their films are."""

    annotations: Path
    media: Path | None = None
    """Folder of the films; None for that of the annotations."""
    files: ActionFilesConfig = ActionFilesConfig()
    """Without a `first_second` files begin as their film does."""


def run_action_evaluation(  # noqa: PLR0913 one front door
    detector: ActionDetector,
    films: FilmSet,
    *,
    data: DataConfig,
    views: ViewConfig,
    max_size: int,
    device: torch.device,
    batch_size: int,
    predictions: Path | None,
    progress: tuple[Console, str],
) -> ActionReport:
    """Measure the frame mAP; `predictions` is a file in the form that AVA's evaluation reads.

    Raises:
        StvitVideoError: annotations, films or labels cannot be used, or none can be read.
    """
    start = time.perf_counter()
    labels = detector.labels if films.files.labels is None else read_label_map(films.files.labels)
    columns = columns_of(labels, detector.labels.names, place=str(films.files.labels))
    annotated, files = read_actions(films.annotations, labels), films.files
    truth = annotated.without(read_excluded(files.excluded) if files.excluded else set())
    boxes = _boxes(films, truth)
    paths = find_films(boxes, films)
    reading = whole_reading(detector.network, data, views, max_size, files.first_second or 0.0)
    clips = ActionClips(boxes, paths, reading, num_classes=len(labels.ids))
    console, label = progress
    with count_videos(console, label, total=len(clips), unit="key frames") as advance:
        scores, failed = score_boxes(
            detector, clips, device=device, batch_size=batch_size, advance=advance
        )
    scores = scores[:, columns]
    if predictions is not None:
        write_actions(predictions, boxes, scores, labels.ids, failed)
    precisions, counts = _measure(truth, boxes, scores, failed)
    mean = mean_of(precisions)
    return ActionReport(
        model=detector.network.name,
        annotations=str(films.annotations),
        boxes=str(files.persons or "annotated"),
        person_threshold=files.person_threshold if files.persons else None,
        frame_map=None if math.isnan(mean) else mean,
        per_class=per_class(labels, precisions, counts),
        num_frames=len(truth),
        num_excluded=len(annotated) - len(truth),
        num_boxes=len(boxes.boxes),
        most_in_frame=MOST_IN_FRAME,
        num_frames_of_clip=detector.network.preprocessing.num_frames,
        short_side=reading.size.short_sides[0],
        failed=tuple(failed.values()),
        device=str(device),
        seconds=time.perf_counter() - start,
    )


def whole_reading(
    network: VideoModel, data: DataConfig, views: ViewConfig, max_size: int, first_second: float
) -> ClipReading:
    """Return how clips are read for a test: the frames around each key frame, whole."""
    shape = network.preprocessing
    factor = shape.short_side if views.short_side is None else views.short_side
    short = round(factor * shape.image_size)
    size = ClipSize(short_sides=(short, short), max_size=max_size, multiple=clip_multiple(network))
    return ClipReading(preprocessing=shape, size=size, data=data, first_second=first_second)


def find_films(boxes: ActionBoxes, films: FilmSet) -> dict[str, Path]:
    """Find the file of each film by its name without a suffix.

    Raises:
        DatasetError: one has none.
    """
    folder = films.annotations.parent if films.media is None else films.media
    paths = {name: paths[0] for name, paths in VideoFiles(folder).by_stem.items()}
    check_films(boxes, set(paths), place=films.annotations, folder=folder)
    return paths


def score_boxes(
    detector: ActionDetector,
    clips: ActionClips,
    *,
    device: torch.device,
    batch_size: int,
    advance: Callable[[int], None],
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Score every action of every box: (N, K), 0 for those of key frames that failed, and these.

    Raises:
        DatasetError: all did.
    """
    detector.eval().to(device)
    scores = np.zeros((len(clips.boxes.boxes), detector.network.num_classes), dtype=np.float32)
    failed: dict[int, str] = {}
    loader = build_action_loader(clips, batch_size=batch_size, shuffle=False, seed=0).on(device)
    with torch.inference_mode():
        for batch in loader:
            found: Any = batch  # an ActionBatch
            failed |= {index: f"{clips.name(index)}: {error}" for index, error in found.failures}
            if found.clips:
                rows = np.concatenate(
                    [np.r_[clips.boxes.boxes_of(frame)] for frame in found.frames]
                )
                scores[rows] = detector(found.clips, found.boxes).sigmoid().float().cpu().numpy()
            advance(len(found.frames) + len(found.failures))
    if len(failed) == len(clips):
        first = next(iter(failed.values()))
        raise DatasetError(f"none of the {len(clips)} key frames can be read; the first: {first}")
    return scores, failed


def _boxes(films: FilmSet, truth: ActionBoxes) -> ActionBoxes:
    """Return the boxes that are scored: of annotated key frames alone."""
    path, threshold = films.files.persons, films.files.person_threshold
    if path is None:
        return truth.with_boxes()
    persons, known = read_persons(path, threshold=threshold), set(truth.keys())
    is_held = np.array([key in known for key in persons.keys()], dtype=bool)  # noqa: SIM118
    held = persons.pick(is_held).with_boxes()
    if not len(held):
        raise DatasetError(
            f"{path} has no person of a score from {threshold:g} in the key frames of"
            f" {films.annotations}; do names and seconds go together?"
        )
    return held


def _measure(
    truth: ActionBoxes,
    boxes: ActionBoxes,
    scores: NDArray[np.float32],
    failed: dict[int, str],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return average precision and number of annotated boxes of each class, (K,) both."""
    keys, num_classes = boxes.keys(), scores.shape[1]
    truth = truth.without({keys[frame] for frame in failed})
    number_of = {key: number for number, key in enumerate(truth.keys())}
    frame_of = np.array([number_of.get(key, -1) for key in keys], dtype=np.int64)
    frames = frame_of[boxes.box_frame]
    held = frames >= 0
    found = as_actions(
        frames[held], boxes.boxes[held], scores[held], np.ones_like(scores[held], dtype=bool)
    )
    labels = truth.targets(slice(0, len(truth.boxes)), num_classes=num_classes)
    actual = as_actions(truth.box_frame, truth.boxes, labels, labels > 0)
    precisions = frame_average_precision(found, actual, num_classes=num_classes)
    return precisions, np.bincount(actual.label, minlength=num_classes)
