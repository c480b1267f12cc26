"""What a training on the objects in images is made of."""

from pathlib import Path
from typing import Any

from stvit_video.datasets.coco.annotations import CocoSet, read_coco
from stvit_video.datasets.coco.batches import build_image_loader
from stvit_video.datasets.coco.images import CocoImages
from stvit_video.datasets.loader import VideoLoader
from stvit_video.detection.networks.checkpoint import write_detector
from stvit_video.detection.networks.weights import load_pretrained_detector
from stvit_video.settings.training import RunConfig
from stvit_video.training.detection import DetectionTask
from stvit_video.training.outlook import size_of
from stvit_video.training.prepared import Prepared
from stvit_video.training.strategy import feeding_device


def prepare_images(run: RunConfig) -> Prepared:
    """Read the annotations, build detector and loaders; writes nothing.

    Raises:
        StvitVideoError: a setting or the data cannot be used as it stands.
    """
    assert run.data.train is not None
    has_masks = run.detector.name == "mask_rcnn"
    train_set = read_coco(run.data.train, run.data.train_media, masks=has_masks)
    val_set = None
    if run.data.val is not None:
        names = train_set.class_names
        val_set = read_coco(run.data.val, run.data.val_media, class_names=names, masks=has_masks)
    detector = load_pretrained_detector(
        run.model, run.detector, num_classes=train_set.num_classes + 1
    )
    task = DetectionTask(
        detector,
        num_images=len(train_set),
        val_set=val_set,
        optimizer=run.optimizer,
        train=run.train,
        max_failed_share=run.data.max_failed_share,
        name_image=lambda index: str(train_set.images[index].path),
    )

    def export(folder: Path, weights: dict[str, Any], extra: dict[str, Any]) -> None:
        write_detector(
            task.scored, folder, labels=train_set.class_names, weights=weights, extra=extra
        )

    notes = [note for found in (train_set, val_set) if found is not None for note in found.notes]
    return Prepared(
        task,
        _loader(run, train_set, shuffle=True),
        None if val_set is None else _loader(run, val_set, shuffle=False),
        export,
        notes=(size_of(detector, train_set.num_classes), *notes),
    )


def _loader(run: RunConfig, coco_set: CocoSet, *, shuffle: bool) -> VideoLoader:
    """Return the loader of the images of a set; that of training is the one that shuffles."""
    images = CocoImages(
        coco_set,
        flip=run.augmentation.flip if shuffle else 0.0,
        keeps_crowds=not shuffle,
        draws_masks=shuffle,
        max_pixels=run.data.max_pixels,
    )
    loader = build_image_loader(
        images,
        batch_size=run.train.batch_size,
        num_workers=run.data.num_workers,
        shuffle=shuffle,
        seed=run.train.seed,
        drop_last=shuffle and len(images) > run.train.batch_size,
        prefetch_batches=run.data.prefetch_batches,
    )
    return loader.on(feeding_device(run.train))
