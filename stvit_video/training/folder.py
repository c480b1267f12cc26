"""The folder of a run: it is for one run alone, and nothing of anyone else is in it."""

from pathlib import Path
from typing import Any

import yaml

from stvit_video.errors import ConfigError
from stvit_video.files import check_own, write_file
from stvit_video.models.card import WEIGHTS_FILE
from stvit_video.training.checkpoints import CHECKPOINT_FOLDER, list_checkpoints

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.json"

_MARK = "# The settings of a run of stvit-video, which this folder is of.\n"
"""First line of the settings: a folder without it is not ours."""


def check_free(run_dir: Path) -> None:
    """Refuse a folder for a new run that holds a model, checkpoints, or files of anyone else.

    Raises:
        ConfigError: naming the folder and what it holds.
    """
    for is_there, what in (
        ((run_dir / WEIGHTS_FILE).exists(), "a model"),
        (has_checkpoints(run_dir), "checkpoints"),
    ):
        if is_there:
            raise ConfigError(f"output_dir ({run_dir}) already holds {what}; choose another")
    check_own("output_dir", run_dir, is_own=_is_marked(run_dir / CONFIG_FILE))


def has_checkpoints(run_dir: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return bool(list_checkpoints(run_dir / CHECKPOINT_FOLDER))


def write_settings(run_dir: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a run; its folder is marked by them. Raises as `write_file`."""
    text = yaml.safe_dump(settings, sort_keys=False)
    write_file(run_dir / CONFIG_FILE, _MARK + text)


def _is_marked(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK.encode()
