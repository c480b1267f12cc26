"""Train a model from a script or a notebook."""

from pathlib import Path

from stvit_video.report.json_file import result_console
from stvit_video.settings.training import RunConfig
from stvit_video.training.fit import FitReport
from stvit_video.training.run import run_training


def train(run: RunConfig, output_dir: str | Path) -> FitReport:
    """Train as `run` says, under one bar, and leave the run in `output_dir`.

    The same call again goes on from the newest checkpoint there, as `stvit-video train` does.

    Raises:
        StvitVideoError: a setting, the data or the folder cannot be used as it stands.
    """
    return run_training(run, output_dir, console=result_console("-"), label=run.model.name)
