"""What `evaluate` and `predict` do with a detector of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

from stvit_video.datasets.coco.annotations import read_coco
from stvit_video.datasets.coco.named_images import find_named_images
from stvit_video.detection.networks.build import Detector
from stvit_video.detection.networks.checkpoint import load_detector
from stvit_video.detection.pictures.evaluate import evaluate_detector, print_detection_report
from stvit_video.detection.pictures.predict import predict_images
from stvit_video.errors import ConfigError
from stvit_video.evaluation.team import is_first_process, joined_team
from stvit_video.report.drawn_table import print_table
from stvit_video.report.json_file import result_console, write_json
from stvit_video.report.progress import count_videos
from stvit_video.report.records import STANDARD_OUTPUT, Record, writing_records
from stvit_video.report.terminal import say
from stvit_video.settings.data import MOST_PIXELS


class Reading(NamedTuple):
    """How images are read and found in."""

    device: torch.device
    batch_size: int
    num_workers: int
    max_pixels: int | None

    @property
    def most_pixels(self) -> int:
        """Of an image; more are refused."""
        return MOST_PIXELS if self.max_pixels is None else self.max_pixels


def refuse_of_clips(checkpoint: str, **given: object) -> None:
    """Refuse options of the command that detectors of images do not know.

    Raises:
        ConfigError: naming the first that is given.
    """
    for name, value in given.items():
        if value not in (None, False):
            raise ConfigError(
                f"{name} ({value}) is for clips; {checkpoint} finds objects in images"
            )


def run_detection_evaluation(
    checkpoint: str,
    annotations: Path,
    *,
    media: Path | None,
    reading: Reading,
    predictions: Path | None,
    json: Path | None,
) -> None:
    """Measure a detector on COCO's annotations, print and write what was found.

    Raises as `load_detector`, `read_coco` and `evaluate_detector`.
    """
    detector = load_detector(checkpoint)
    names = detector.labels or None
    coco_set = read_coco(annotations, media, class_names=names, masks=detector.finds_masks)
    console = result_console(json) if is_first_process() else Console(quiet=True)
    say(console, *coco_set.notes)
    with (
        joined_team() as team,
        count_videos(console, "evaluating", total=len(coco_set), unit="images") as count,
    ):
        report, found = evaluate_detector(
            detector,
            coco_set,
            device=reading.device,
            batch_size=reading.batch_size,
            num_workers=reading.num_workers,
            progress=count,
            max_pixels=reading.most_pixels,
            team=team,
        )
    if is_first_process():
        write_json(report, json)
        if predictions is not None:
            write_json(found, predictions)
    print_detection_report(report, console)


def run_detection(
    words: Sequence[str],
    checkpoint: str,
    *,
    reading: Reading,
    min_score: float,
    draw_dir: Path | None,
    outputs: Mapping[str, Path | None],
) -> int:
    """Find the objects of images, write and draw them; `outputs` has `json` and `jsonl`.

    Returns the exit status: 1 where an image could not be read.

    Raises as `load_detector`, `find_named_images` and `predict_images`.
    """
    taken = STANDARD_OUTPUT in map(str, outputs.values())
    paths = find_named_images(words)
    detector: Detector = load_detector(checkpoint)
    errors, kept = Console(stderr=True, highlight=False), list[Record]()
    with (
        writing_records({"jsonl": outputs["jsonl"]}) as write,
        count_videos(errors, "finding", total=len(paths), unit="images") as count,
    ):

        def keep(record: Record) -> None:
            write(record)
            if outputs["json"] is not None:
                kept.append(record)

        done = predict_images(
            detector,
            detector.labels,
            paths,
            folder=draw_dir,
            score_threshold=min_score,
            device=reading.device,
            batch_size=reading.batch_size,
            keep=keep,
            num_workers=reading.num_workers,
            max_pixels=reading.most_pixels,
            progress=count,
        )
    say(errors, *(f"cannot be read: {error}" for error in done.errors))
    write_json(_document(kept), outputs["json"])
    print_table(result_console(STANDARD_OUTPUT if taken else None), done.table)
    return 1 if done.num_failed else 0


def _document(records: list[Record]) -> Any:
    """Return the record of the one image, or those of all."""
    return records[0] if len(records) == 1 else {"predictions": records}
