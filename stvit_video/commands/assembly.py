"""Data meets model: build models and loaders from the settings of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from stvit_video.datasets.clips import VideoDataset
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.datasets.loader import VideoLoader, build_loader
from stvit_video.datasets.manifest import Manifest, VideoRecord, check_labels, read_manifest
from stvit_video.errors import ConfigError, MissingFileError
from stvit_video.evaluation.views import Combine
from stvit_video.models.card import read_card
from stvit_video.models.checkpoint import load_model
from stvit_video.models.registry import create_model
from stvit_video.settings.model import DataConfig, ModelConfig, Preprocessing, RunConfig, ViewConfig
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.sampling.scheme import SamplingScheme


def read_videos(path: Path, *, class_names: Sequence[str] | None = None) -> Manifest:
    """Read a data set: a folder of class folders, or a manifest."""
    if path.suffix == ".csv":
        return read_manifest(path, class_names=class_names)
    return find_class_folders(path, class_names=class_names)


def build_model(settings: ModelConfig, *, num_classes: int | None = None) -> Any:
    """Build the model of a run, on the CPU."""
    return create_model(
        settings.name,
        num_classes=num_classes,
        semantic=settings.semantic,
        num_frames=settings.num_frames,
        frame_stride=settings.frame_stride,
        image_size=settings.image_size,
        drop_path=settings.drop_path,
        pretrained=settings.pretrained,
    )


def read_checkpoint(path: Path) -> Any:
    """Build the model of a run folder, with its weights.

    Raises:
        MissingFileError: there is no such folder.
        CheckpointError: the folder holds no model, or the weights are those of another one.
    """
    if not path.exists():
        raise MissingFileError(f"checkpoint {path} does not exist; give the folder of a run")
    return load_model(path)


def settings_of(
    checkpoint: Path, *, views: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[DataConfig, ViewConfig]:
    """Return how to read videos: as the training of a run folder did, but for what is given.

    None means not given; what neither says has its default.

    Raises:
        ConfigError: a value is out of range.
    """
    trained = read_card(checkpoint).extra.get("config", {})
    data_values = _given(trained.get("data", {})) | _given(data)
    view_values = _given(trained.get("views", {})) | _given(views)
    found = ViewConfig(**view_values)
    if found.combine not in get_args(Combine):
        known = " or ".join(get_args(Combine))
        raise ConfigError(f"views.combine ({found.combine}) must be {known}")
    return DataConfig(**data_values), found


def build_training_loader(
    manifest: Manifest, preprocessing: Preprocessing, run: RunConfig
) -> VideoLoader:
    """Return a shuffled loader of random clips; its batches hold uint8 clips.

    Raises:
        DatasetError: a label is no class of the manifest.
    """
    check_labels(manifest.records, num_classes=manifest.num_classes)
    clips = run.train.clips_per_video
    dataset = VideoDataset(
        manifest.records,
        sample=sampling_scheme(preprocessing, run.data, num_clips=clips, random=True),
        transform=build_transform(preprocessing, augmentation=run.augmentation, normalize=False),
        num_clips=clips,
        whole_videos=clips > 1,
        backend=run.data.backend,
        on_decode_error="report",
    )
    batch_size = max(run.train.batch_size // clips, 1)
    return build_loader(
        dataset,
        batch_size=batch_size,
        num_workers=run.data.num_workers,
        shuffle=True,
        seed=run.train.seed,
        drop_last=len(dataset) > batch_size,
    )


def build_evaluation_loader(
    records: Sequence[VideoRecord],
    preprocessing: Preprocessing,
    *,
    data: DataConfig,
    views: ViewConfig,
    batch_size: int,
) -> VideoLoader:
    """Return a loader of all views of all videos, in order; its batches hold uint8 clips.

    Each video is opened once. Videos that do not decode are reported in the batches.
    """
    dataset = VideoDataset(
        records,
        sample=sampling_scheme(preprocessing, data, num_clips=views.num_clips),
        transform=build_transform(preprocessing, num_crops=views.num_crops, normalize=False),
        num_clips=views.num_clips,
        num_crops=views.num_crops,
        whole_videos=True,
        backend=data.backend,
        on_decode_error="report",
    )
    return build_loader(
        dataset,
        batch_size=max(batch_size // views.num_views, 1),
        num_workers=data.num_workers,
        shuffle=False,
        seed=0,
    )


def sampling_scheme(
    preprocessing: Preprocessing, data: DataConfig, *, num_clips: int, random: bool = False
) -> SamplingScheme:
    """Return the rule by which clips are chosen, for training (`random`) or evaluation."""
    return SamplingScheme(
        kind=data.sampling,
        num_frames=preprocessing.num_frames,
        frame_stride=preprocessing.frame_stride,
        target_fps=data.target_fps,
        num_clips=num_clips,
        random=random,
        short_video=data.short_video,
    )


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` takes the GPU where there is one.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device ({name}) is not here; use auto, cpu or cuda") from error
    return device


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
