"""One training run, from settings to a run folder: what every command that trains calls."""

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from rich.console import Console

from stvit_video.datasets.from_settings import (
    build_evaluation_loader,
    build_training_loader,
    read_training_videos,
    read_validation_videos,
)
from stvit_video.datasets.loader import VideoLoader
from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.upkeep.faster_files import faster_files
from stvit_video.errors import ConfigError
from stvit_video.files import check_output_folder, holding
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import build_model
from stvit_video.report.json_file import as_plain, write_json
from stvit_video.settings.training import RunConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.training.callbacks import ProgressDisplay
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.distillation import load_teacher
from stvit_video.training.fit import FitReport, RunFolder, check_start, fit
from stvit_video.training.folder import (
    CONFIG_FILE,
    METRICS_FILE,
    check_free,
    has_checkpoints,
    write_settings,
)
from stvit_video.training.processes import is_first_process
from stvit_video.training.resume import changed_settings, tell_changes
from stvit_video.training.strategy import is_on_gpu, whole_weights
from stvit_video.untrusted import read_settings
from stvit_video.video.pixels.batch import BatchTransform


def run_training(
    run: RunConfig, run_dir: str | Path, *, console: Console, label: str, advise: bool = True
) -> FitReport:
    """Train as `run` says; `label` names the progress bar on `console`.

    The folder is told first, and once what helps a training that waits for data, unless it is not
    to `advise`.

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
    videos = read_training_videos(run.data.train)
    model = build_model(run.model, num_classes=videos.num_classes)
    model.multi_label = videos.is_multi_label
    device = _feeding_device(run)
    train_loader = build_training_loader(videos, model.preprocessing, run, device=device)
    val_loader = _validation_loader(run, videos, model, device)
    classifier = _classifier(run, videos, model)
    display = ProgressDisplay(console, label, _if_waiting(run, videos, model) if advise else "")
    classifier.tell = display.tell
    classifier.distillation = load_teacher(
        run.distill, model, class_names=videos.class_names, multi_label=videos.is_multi_label
    )
    start = check_start(run.train, run_dir=run_dir, task=classifier, tell=display.tell)
    if start is not None:
        display.tell(f"going on from {start}{changes and f', with {changes}'}")
    elif advise:
        display.tell(f"output_dir {run_dir}")
    with holding(run_dir) if is_first_process() else nullcontext():
        _check_free(run_dir, run)  # a run may have ended since
        write_settings(run_dir, settings)
        return fit(
            classifier,
            train_loader,
            val_loader,
            settings=run.train,
            folder=RunFolder(
                run_dir,
                write=lambda report: write_json(report, run_dir / METRICS_FILE),
                export=lambda: _export(classifier.scored, run_dir, videos.class_names, settings),
            ),
            start=start,
            display=display,
        )


def _export(
    model: VideoModel, run_dir: Path, labels: tuple[str, ...], settings: dict[str, Any]
) -> None:
    """Write the model, in the first process; all put its weights together."""
    weights = whole_weights(model)
    if is_first_process():
        extra = {"config": settings}
        write_checkpoint(model, run_dir, weights=weights, labels=labels, extra=extra)


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


def _classifier(run: RunConfig, videos: Manifest, model: VideoModel) -> VideoClassifier:
    return VideoClassifier(
        model,
        num_classes=videos.num_classes,
        num_videos=len(videos.records),
        optimizer=run.optimizer,
        train=run.train,
        augment=BatchTransform(
            model.preprocessing,
            run.augmentation,
            class_names=videos.class_names,
            multi_label=videos.is_multi_label,
        ),
        max_failed_share=run.data.max_failed_share,
        name_video=lambda video: str(videos.records[video].path),
    )


def _if_waiting(run: RunConfig, videos: Manifest, model: VideoModel) -> str:
    """Say what helps against waiting: what the list of the videos tells, and how to learn more."""
    assert run.data.train is not None
    stride = model.preprocessing.frame_stride
    files = faster_files(run.data.train, videos.records, run.data, stride=stride)
    why = f"`stvit-video data rate {shlex.quote(str(run.data.train))}` says why"
    return why if files is None else f"{why}; {files}"


def _feeding_device(run: RunConfig) -> torch.device:
    """Where batches are made whole: the GPU of this process, whichever it will be."""
    return torch.device("cuda" if is_on_gpu(run.train) else "cpu")


def _validation_loader(
    run: RunConfig, videos: Manifest, model: VideoModel, device: torch.device
) -> VideoLoader | None:
    if run.data.val is None:
        return None
    val_videos = read_validation_videos(run.data, videos)
    loader = build_evaluation_loader(
        val_videos.records,
        model.preprocessing,
        data=run.data,
        views=ViewConfig(short_side=run.views.short_side),
        batch_size=run.train.batch_size,
        device=device,
    )
    return loader.on(device, targets=val_videos.targets())
