"""What a training on the classes of videos is made of."""

import shlex
from typing import Any

import torch

from stvit_video.datasets.from_settings import (
    build_evaluation_loader,
    build_training_loader,
    read_training_videos,
    read_validation_videos,
)
from stvit_video.datasets.loader import VideoLoader
from stvit_video.datasets.manifest import Manifest
from stvit_video.datasets.upkeep.faster_files import faster_files
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.network.video_model import VideoModel
from stvit_video.models.registry import build_model
from stvit_video.settings.training import RunConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.distillation import load_teacher
from stvit_video.training.outlook import size_of
from stvit_video.training.prepared import Prepared
from stvit_video.training.strategy import feeding_device
from stvit_video.video.pixels.batch import BatchTransform


def prepare_videos(run: RunConfig) -> Prepared:
    """Read the lists, build model and loaders; writes nothing.

    Raises:
        StvitVideoError: a setting or the data cannot be used as it stands.
    """
    assert run.data.train is not None
    videos = read_training_videos(run.data.train)
    model = build_model(run.model, num_classes=videos.num_classes)
    model.multi_label = videos.is_multi_label
    device = feeding_device(run.train)
    train_loader = build_training_loader(videos, model.preprocessing, run, device=device)
    val_loader = _validation_loader(run, videos, model, device)
    classifier = _classifier(run, videos, model)
    classifier.distillation = load_teacher(
        run.distill, model, class_names=videos.class_names, multi_label=videos.is_multi_label
    )

    def export(folder: Any, weights: Any, extra: dict[str, Any]) -> None:
        labels = videos.class_names
        write_checkpoint(classifier.scored, folder, weights=weights, labels=labels, extra=extra)

    return Prepared(
        classifier,
        train_loader,
        val_loader,
        export,
        notes=(size_of(model, videos.num_classes),),
        if_waiting=_if_waiting(run, videos, model),
    )


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
