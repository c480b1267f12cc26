"""What a training on the actions of persons in boxes is made of."""

import dataclasses
from pathlib import Path
from typing import Any

from stvit_video.datasets.ava.annotations import read_actions, read_excluded
from stvit_video.datasets.ava.batches import build_action_loader
from stvit_video.datasets.ava.clips import ActionClips, ClipReading, ClipSize
from stvit_video.datasets.ava.label_map import ActionLabels, read_label_map
from stvit_video.datasets.loader import VideoLoader
from stvit_video.detection.actions.evaluate import FilmSet, find_films, whole_reading
from stvit_video.detection.actions.network import build_network
from stvit_video.errors import ConfigError, DatasetError
from stvit_video.models.card import ACTION_IDS
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.models.network.video_model import VideoModel
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.training import RunConfig
from stvit_video.training.actions import ActionTask
from stvit_video.training.outlook import size_of
from stvit_video.training.prepared import Prepared
from stvit_video.training.strategy import feeding_device
from stvit_video.video.pixels.mirror import mirrored_classes


def prepare_actions(run: RunConfig) -> Prepared:
    """Read annotations and label map, build network and loaders; writes nothing.

    Raises:
        StvitVideoError: a setting or the data cannot be used as it stands.
    """
    assert run.data.train is not None
    if run.detector.labels is None:
        raise ConfigError(
            "missing detector.labels; give the label map of the actions, such as"
            " ava_action_list_v2.2.pbtxt"
        )
    labels = read_label_map(run.detector.labels)
    network = build_network(run.model, num_classes=len(labels.ids))
    train = _clips(run, network, labels, run.data.train, is_training=True)
    val_loader = None
    if run.data.val is not None:
        val_loader = _loader(run, _clips(run, network, labels, run.data.val, is_training=False))
    task = ActionTask(
        network,
        num_frames=len(train),
        optimizer=run.optimizer,
        train=run.train,
        max_failed_share=run.data.max_failed_share,
        name_frame=train.name,
    )

    def export(folder: Any, weights: Any, extra: dict[str, Any]) -> None:
        held = extra | {ACTION_IDS: list(labels.ids)}
        write_checkpoint(task.scored, folder, weights=weights, labels=labels.names, extra=held)

    loader, size = _loader(run, train, is_training=True), size_of(network, len(labels.ids))
    return Prepared(task, loader, val_loader, export, notes=(size,))


def _clips(
    run: RunConfig, network: VideoModel, labels: ActionLabels, path: Path, *, is_training: bool
) -> ActionClips:
    boxes = read_actions(path, labels)
    if not is_training and run.detector.excluded is not None:
        boxes = boxes.without(read_excluded(run.detector.excluded))
    boxes = boxes.with_boxes()
    if not len(boxes):
        raise DatasetError(f"{path} has no box; a training needs persons in key frames")
    media = run.data.train_media if is_training else run.data.val_media
    paths = find_films(boxes, FilmSet(path, media))
    reading = whole_reading(
        network, run.data, run.views, run.detector.max_size, run.detector.first_second
    )
    if is_training:
        reading = _varied(reading, run.augmentation, network, labels)
    return ActionClips(boxes, paths, reading, num_classes=len(labels.ids))


def _varied(
    reading: ClipReading,
    augmentation: AugmentationConfig,
    network: VideoModel,
    labels: ActionLabels,
) -> ClipReading:
    """Flip, and draw the short side where it is to jitter; nothing is cut off."""
    size: ClipSize = reading.size
    if augmentation.crop == "scale_jitter":
        side = network.preprocessing.image_size
        least, most = (round(side * factor) for factor in augmentation.scale_jitter)
        size = dataclasses.replace(size, short_sides=(least, most))
    mirrored = tuple(mirrored_classes(labels.names)) if augmentation.flip else ()
    return dataclasses.replace(reading, size=size, flip=augmentation.flip, mirrored=mirrored)


def _loader(run: RunConfig, clips: ActionClips, *, is_training: bool = False) -> VideoLoader:
    loader = build_action_loader(
        clips, batch_size=run.train.batch_size, shuffle=is_training, seed=run.train.seed
    )
    return loader.on(feeding_device(run.train))
