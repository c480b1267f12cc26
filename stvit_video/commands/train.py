"""`stvit-video train`: train a model on videos, leave a run folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stvit_video.files import OutputFolder, ResultFile
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.detection import DetectorConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import DistillConfig, OptimizerConfig, RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig

if TYPE_CHECKING:
    from stvit_video.training.fit import FitReport

_AUGMENTATION = AugmentationConfig()
_VIEWS = ViewConfig()
_OPTIMIZER = OptimizerConfig()
_TRAIN = TrainConfig()
_DISTILL = DistillConfig()
_DETECTOR = DetectorConfig()


def train_(  # noqa: PLR0913 this is a command line
    *,
    model: ModelConfig,
    data: DataConfig,
    augmentation: AugmentationConfig = _AUGMENTATION,
    views: ViewConfig = _VIEWS,
    optimizer: OptimizerConfig = _OPTIMIZER,
    train: TrainConfig = _TRAIN,
    distill: DistillConfig = _DISTILL,
    detector: DetectorConfig = _DETECTOR,
    output_dir: OutputFolder,
    dry_run: bool = False,
    json: ResultFile | None = None,
) -> None:
    """Train a model on a folder of class folders or on a manifest, a detector on COCO's files.

    Args:
        model: Which network.
        data: Where the videos are.
        augmentation: What training does to the pixels.
        views: Views of each video that `evaluate` and `predict` take where nothing else is said.
        optimizer: How fast it learns.
        train: How long and on what.
        distill: Which trained model to learn from as well.
        detector: What is found in pictures or clips, in place of one class for a clip.
        output_dir: Run folder, for the model, the settings, the metrics and checkpoints; the same
            command again goes on from the newest.
        dry_run: Train two steps on tiny videos laid out as the data set, from random weights, and
            leave nothing: whether the settings run here, and in how much memory.
        json: Write the metrics here as well; `-` is standard output.
    """
    from stvit_video.report.json_file import result_console, write_json
    from stvit_video.report.terminal import say
    from stvit_video.training.outlook import is_first_started, opening

    run = RunConfig(
        model=model,
        data=data,
        augmentation=augmentation,
        views=views,
        optimizer=optimizer,
        train=train,
        distill=distill,
        detector=detector,
    )
    console = result_console(json)
    if not dry_run and data.train is not None and is_first_started():
        say(console, opening(run, output_dir))
    from stvit_video.training.dry_run import run_dry  # torch takes seconds to import
    from stvit_video.training.processes import is_first_process
    from stvit_video.training.run import run_training

    train_as_said = run_dry if dry_run else run_training
    report = train_as_said(run, output_dir, console=console, label=model.name)
    if not is_first_process():
        return
    write_json(report, json)
    if not dry_run:
        say(console, *_lines(report, output_dir, "videos" if detector.name is None else "images"))


def _lines(report: "FitReport", output_dir: Path, noun: str) -> Iterator[str]:
    """Say what a training came to."""
    last = report.epochs[-1]
    figures = {"top-1": last.val_top1, "mAP": last.val_map, "mask mAP": last.val_mask_map}
    accuracy = "".join(
        f", val {name} {100 * value:.1f} %" for name, value in figures.items() if value is not None
    )
    yield (
        f"{output_dir}: {len(report.epochs)} epochs in {last.elapsed_seconds:.0f} s{accuracy},"
        f" {100 * report.data_wait_share:.0f} % of the training time spent waiting for data"
    )
    if report.failed:
        yield f"{len(report.failed)} {noun} were skipped; metrics.json lists them"
    if report.val_failed:
        count = len(report.val_failed)
        yield f"{count} validation {noun} do not decode; the accuracy is over the others"
