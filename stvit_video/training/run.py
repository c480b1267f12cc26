"""One training run, from settings to a run folder: what every command that trains calls."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from rich.console import Console

from stvit_video.errors import ConfigError
from stvit_video.files import check_output_folder, holding
from stvit_video.report.json_file import as_plain, write_json
from stvit_video.settings.training import RunConfig
from stvit_video.training.fit import FitReport, RunFolder, check_start, fit
from stvit_video.training.folder import (
    CONFIG_FILE,
    METRICS_FILE,
    check_free,
    has_checkpoints,
    write_settings,
)
from stvit_video.training.outlook import doubt
from stvit_video.training.prepare_videos import prepare_videos
from stvit_video.training.prepared import Prepared
from stvit_video.training.processes import is_first_process
from stvit_video.training.progress import ProgressDisplay
from stvit_video.training.resume import changed_settings, tell_changes
from stvit_video.training.strategy import is_on_gpu, whole_weights
from stvit_video.training.task import TrainingTask
from stvit_video.untrusted import read_settings


def run_training(
    run: RunConfig, run_dir: str | Path, *, console: Console, label: str, advise: bool = True
) -> FitReport:
    """Train as `run` says; `label` names the progress bar on `console`.

    What is told first is what it trains; then a warning where that is hopeless, and once what helps
    a training that waits for data, unless it is not to `advise`.

    The run folder then holds `model.safetensors` and `model.json` (the best epoch), `config.yaml`,
    `metrics.json` and `checkpoints/` (to go on from). Nothing is written before all is checked.

    Raises:
        StvitVideoError: a setting, the data or the run folder cannot be used as it stands.
    """
    if run.data.train is None:
        raise ConfigError("missing data.train; give a folder of class folders or a manifest")
    run_dir = Path(run_dir)
    _check_free(run_dir, run)
    check_output_folder("output_dir", run_dir)
    settings = as_plain(run)
    changes = _changes(run_dir, settings) if _goes_on(run_dir, run) else ""
    lightning.seed_everything(run.train.seed, verbose=False)
    prepared = _prepare(run)
    task = prepared.task
    display = ProgressDisplay(console, label, prepared.if_waiting if advise else "")
    task.tell = display.tell
    start = check_start(run.train, run_dir=run_dir, task=task, tell=display.tell)
    if start is not None:
        display.tell(f"going on from {start}{changes and f', with {changes}'}")
    for note in (*prepared.notes, *(_doubts(run, task) if advise else ())):
        display.tell(note)
    with holding(run_dir) if is_first_process() else nullcontext():
        _check_free(run_dir, run)  # a run may have ended since
        write_settings(run_dir, settings)
        return fit(
            task,
            prepared.train_loader,
            prepared.val_loader,
            settings=run.train,
            folder=RunFolder(
                run_dir,
                write=lambda report: write_json(report, run_dir / METRICS_FILE),
                export=lambda: _export(prepared, run_dir, settings),
            ),
            start=start,
            display=display,
        )


def _prepare(run: RunConfig) -> Prepared:
    """Make what is trained; a task whose turn it is not is not imported."""
    if run.detector.name is None:
        return prepare_videos(run)
    if run.detector.name == "actions":
        from stvit_video.training.prepare_actions import prepare_actions

        return prepare_actions(run)
    from stvit_video.training.prepare_images import prepare_images

    return prepare_images(run)


def _doubts(run: RunConfig, task: TrainingTask) -> list[str]:
    """Warn of a large network that begins with random weights and will not learn."""
    if run.model.pretrained is not None:
        return []
    told = doubt(
        task.model,
        num_items=task.num_items,
        noun=task.noun,
        on_gpu=is_on_gpu(run.train),
    )
    return [] if told is None else [told]


def _export(prepared: Prepared, run_dir: Path, settings: dict[str, Any]) -> None:
    """Write the model, in the first process; all put its weights together."""
    weights = whole_weights(prepared.task.scored)
    if is_first_process():
        prepared.export(run_dir, weights, {"config": settings})


def _goes_on(run_dir: Path, run: RunConfig) -> bool:
    return run.train.resume is not False and has_checkpoints(run_dir)


def _check_free(run_dir: Path, run: RunConfig) -> None:
    """Refuse a folder that is not free, but for a run that goes on in it."""
    if not _goes_on(run_dir, run):
        check_free(run_dir)


def _changes(run_dir: Path, settings: dict[str, Any]) -> str:
    """Say which settings differ from those that the run began with; some must not."""
    path = run_dir / CONFIG_FILE
    try:
        before = read_settings(path, ConfigError)
    except (OSError, ConfigError) as error:
        raise ConfigError(f"{path} cannot be read; choose another output_dir") from error
    return tell_changes(changed_settings(before, settings), run_dir=run_dir)
