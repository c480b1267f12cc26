"""What `stvit-video predict` says: the classes of videos, objects in images, actions of persons.

A task whose turn it is not is not imported.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stvit_video.detection.task import task_of
from stvit_video.errors import ConfigError
from stvit_video.evaluation.predict_command import Outputs, Sharding, reading_plan, run_predict
from stvit_video.evaluation.predictor import Predictor
from stvit_video.models.device import choose_device


class Searched(NamedTuple):
    """What detectors are asked for."""

    boxes: Path | None
    draw_dir: Path | None
    min_score: float


class Asked(NamedTuple):
    """What the command was asked for."""

    views: Mapping[str, Any]
    reading: Mapping[str, Any]
    """Of decoding."""
    amounts: Mapping[str, int]
    windows: Mapping[str, str | None]
    computing: Mapping[str, Any]
    """Type of numbers, and whether to compile."""
    device: str
    outputs: Outputs
    sharding: Sharding
    searched: Searched

    def of_clips(self) -> dict[str, Any]:
        """Return what only a classifier of clips has a use for."""
        outputs, sharding = self.outputs, self.sharding
        return {
            **self.windows,
            **self.views,
            "timeline_dir": outputs.timelines,
            "compile": self.computing["compile"],
            "dtype": None if self.computing["dtype"] == "float32" else self.computing["dtype"],
            "csv": outputs.csv,
            "parquet": outputs.parquet,
            "output_dir": sharding.folder,
            "replicas": sharding.replicas,
        }


def run_any(words: Sequence[str], checkpoint: str, asked: Asked) -> int:
    """Do what the checkpoint is for; return the exit status.

    Raises:
        StvitVideoError: an option has no place in the task, or what the task raises.
    """
    boxes, draw_dir, min_score = asked.searched
    batch_size, num_workers = asked.amounts["batch_size"], asked.amounts["num_workers"]
    files = {"json": asked.outputs.json, "jsonl": asked.outputs.jsonl}
    task = task_of(checkpoint)
    if task != "classes":
        asked.outputs.check_streams()
    if task == "actions":
        from stvit_video.detection.actions.run import ActionSearch, run_actions

        for name, value in asked.of_clips().items():
            if value not in (None, False):
                raise ConfigError(f"{name} ({value}) has no place with a detector of actions")
        device = choose_device(asked.device)
        top_k = asked.amounts["top_k"]
        search = ActionSearch(boxes, draw_dir, min_score, top_k, batch_size, device)
        reading = {**asked.reading, "num_workers": num_workers}
        return run_actions(words, checkpoint, search, reading=reading, outputs=files)
    if boxes is not None:
        raise ConfigError(f"boxes ({boxes}) is for detectors of actions; {checkpoint} is none")
    if task == "objects":
        from stvit_video.detection.pictures.run import Reading, refuse_of_clips, run_detection

        refuse_of_clips(checkpoint, **asked.of_clips(), backend=asked.reading["backend"])
        most_pixels = asked.reading["max_pixels"]
        return run_detection(
            words,
            checkpoint,
            reading=Reading(choose_device(asked.device), batch_size, num_workers, most_pixels),
            min_score=min_score,
            draw_dir=draw_dir,
            outputs=files,
        )
    if draw_dir is not None:
        raise ConfigError(f"draw_dir ({draw_dir}) is for detectors; {checkpoint} classifies videos")
    how: Any = {**asked.views, **asked.reading, **asked.computing}
    amounts: Any = {**asked.amounts, **asked.windows}
    load = partial(Predictor.load, checkpoint, **how)
    plan = reading_plan(**amounts)
    return run_predict(list(words), load, asked.device, plan, asked.outputs, asked.sharding)
