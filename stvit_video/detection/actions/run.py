"""What `predict` does with a detector of actions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

from stvit_video.datasets.ava.annotations import read_persons
from stvit_video.datasets.named_videos import find_named_videos
from stvit_video.detection.actions.draw import draw_movie
from stvit_video.detection.actions.evaluate import whole_reading
from stvit_video.detection.actions.network import ActionDetector
from stvit_video.detection.actions.predict import PersonActions, actions_table, find_actions
from stvit_video.errors import DatasetError, VideoDecodeError
from stvit_video.evaluation.trained_settings import trained_detector, trained_settings
from stvit_video.report.drawn_table import print_table
from stvit_video.report.json_file import as_plain, result_console, write_json
from stvit_video.report.records import STANDARD_OUTPUT, Record, writing_records
from stvit_video.report.terminal import say


class ActionSearch(NamedTuple):
    """What is looked for, and how."""

    boxes: Path | None
    """Persons by film and second; None for the whole frame at every second."""
    draw_dir: Path | None
    """Folder for a movie of each film."""
    min_score: float
    """Of what stands beside the best action in a movie."""
    top_k: int
    batch_size: int
    device: torch.device


def run_actions(
    words: Sequence[str],
    checkpoint: str,
    search: ActionSearch,
    *,
    reading: Mapping[str, Any],
    outputs: Mapping[str, Path | None],
) -> int:
    """Say what persons do in the films that `words` name; `outputs` has `json` and `jsonl`.

    Returns the exit status: 1 where a film could not be read.

    Raises as `ActionDetector.load`, `find_named_videos` and `read_persons`.
    """
    detector = ActionDetector.load(checkpoint)
    data, views = trained_settings(checkpoint, views={}, data=reading)
    trained = trained_detector(checkpoint)
    how = whole_reading(detector.network, data, views, trained.max_size, trained.first_second)
    persons = None if search.boxes is None else read_persons(search.boxes)
    taken = STANDARD_OUTPUT in map(str, outputs.values())
    tables, errors = result_console(STANDARD_OUTPUT if taken else None), Console(stderr=True)
    kept: list[Record] = []
    status = 0
    with writing_records({"jsonl": outputs["jsonl"]}) as write:
        for video in find_named_videos(words).paths:
            try:
                found = find_actions(
                    detector,
                    video,
                    persons,
                    reading=how,
                    top_k=search.top_k,
                    batch_size=search.batch_size,
                    device=search.device,
                )
            except (VideoDecodeError, DatasetError) as error:
                record: Record = {"video": str(video), "error": str(error)}
                say(errors, f"cannot be read: {error}")
                status = 1
            else:
                record = _record(video, detector.network.name, found)
                print_table(tables, actions_table(str(video), found))
                if search.draw_dir is not None:
                    path = search.draw_dir / f"{video.stem}.mp4"
                    draw_movie(video, found, path, reading=how, min_score=search.min_score)
            write(record)
            kept.append(record)
    document = kept[0] if len(kept) == 1 else {"predictions": kept}
    write_json(document, outputs["json"])
    return status


def _record(video: Path, model: str, found: tuple[PersonActions, ...]) -> Record:
    return {"video": str(video), "model": model, "persons": as_plain(found)}
