"""From the settings of a run to its videos, sampling scheme and loaders."""

import itertools
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from stvit_video.datasets.clips import NamedFiles, VideoDataset
from stvit_video.datasets.layouts.class_folders import (
    count_left_out,
    describe_left_out,
    find_class_folders,
)
from stvit_video.datasets.loader import (
    VideoLoader,
    build_key_loader,
    build_loader,
    build_share_loader,
)
from stvit_video.datasets.manifest import Manifest, VideoRecord, check_labels, read_manifest
from stvit_video.datasets.sampler import FileKey, Share
from stvit_video.datasets.windows import ChunkKey, ChunkReader
from stvit_video.errors import DatasetError
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.training import RunConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.video.pixels.crops import build_transform
from stvit_video.video.pixels.transform import ClipTransform
from stvit_video.video.sampling.scheme import SamplingScheme

_log = logging.getLogger(__name__)


def read_videos(path: str | Path, *, class_names: Sequence[str] | None = None) -> Manifest:
    """Read a data set: a folder of class folders, or a manifest.

    What the folders hold besides videos is counted in a line of the log.
    """
    if Path(path).suffix == ".csv":
        return read_manifest(path, class_names=class_names)
    videos = find_class_folders(path, class_names=class_names)
    if left_out := describe_left_out(count_left_out(Path(path))):
        _log.warning("%s: %s left out", Path(path).name, left_out)
    return videos


def read_training_videos(path: str | Path) -> Manifest:
    """Read the data set `data.train`.

    Raises:
        DatasetError: there is nothing to tell apart in it, or a label is no class.
    """
    videos = read_videos(path)
    if videos.num_classes < 2:
        held = f"the class {videos.class_names[0]!r} alone" if videos.class_names else "no labels"
        raise DatasetError(f"data.train ({path}) holds {held}; training needs at least 2 classes")
    check_labels(videos.records, num_classes=videos.num_classes, label_sets=videos.label_sets)
    return videos


def read_validation_videos(data: DataConfig, train: Manifest) -> Manifest:
    """Read the data set `data.val` with the classes of that of `data.train`.

    Raises:
        DatasetError: it has other classes, or several labels a video where that has one.
    """
    assert data.val is not None
    videos = read_videos(data.val, class_names=train.class_names)
    if videos.is_multi_label and not train.is_multi_label:
        raise DatasetError(
            f"data.val ({data.val}) has several labels a video, but data.train ({data.train}) one;"
            " take lists of one kind"
        )
    if train.is_multi_label:
        videos = videos.as_multi_label()
    check_labels(videos.records, num_classes=train.num_classes, label_sets=videos.label_sets)
    return videos


def build_training_loader(
    manifest: Manifest,
    preprocessing: Preprocessing,
    run: RunConfig,
    *,
    device: torch.device | None = None,
) -> VideoLoader:
    """Return a shuffled loader of random clips; its batches hold uint8 clips on `device`.

    Raises:
        DatasetError: a label is no class of the manifest.
    """
    check_labels(manifest.records, num_classes=manifest.num_classes, label_sets=manifest.label_sets)
    clips = run.train.clips_per_video
    windows = 1 if run.train.share_frames else clips
    dataset = VideoDataset(
        manifest.records,
        sample=sampling_scheme(preprocessing, run.data, num_clips=windows, random=True),
        transform=build_transform(
            preprocessing,
            augmentation=run.augmentation,
            normalize=False,
            ship_planes=_finishes_clips(device),
        ),
        num_clips=windows,
        num_crops=clips // windows,
        whole_videos=clips > 1,
        backend=run.data.backend,
        max_pixels=run.data.max_pixels,
        on_decode_error="report",
    )
    batch_size = run.train.batch_size // clips
    loader = build_loader(
        dataset,
        batch_size=batch_size,
        num_workers=run.data.num_workers,
        prefetch_batches=run.data.prefetch_batches,
        shuffle=True,
        seed=run.train.seed,
        drop_last=len(dataset) > batch_size,
    )
    return loader.on(device, targets=manifest.targets())


def build_evaluation_loader(
    records: Sequence[VideoRecord],
    preprocessing: Preprocessing,
    *,
    data: DataConfig,
    views: ViewConfig,
    batch_size: int,
    device: torch.device | None = None,
    share: Share | None = None,
) -> VideoLoader:
    """Return a loader of all views of all videos, in order: uint8 clips on `device`.

    Each video is opened once. Videos that do not decode are reported in the batches, which are
    smaller where there is not a whole one for each worker. With a `share` it serves that alone;
    without one, under torch.distributed, that of an `EpochSampler`.
    """
    dataset = VideoDataset(
        records,
        sample=sampling_scheme(preprocessing, data, num_clips=views.num_clips),
        transform=evaluation_transform(preprocessing, views, device),
        num_clips=views.num_clips,
        num_crops=views.num_crops,
        whole_videos=True,
        backend=data.backend,
        max_pixels=data.max_pixels,
        on_decode_error="report",
    )
    num_videos = _videos_in_batch(batch_size, data, views, num_videos=len(records))
    if share is not None:
        loader = build_share_loader(
            dataset,
            share,
            batch_size=num_videos,
            num_workers=data.num_workers,
            prefetch_batches=data.prefetch_batches,
        )
    else:
        loader = build_loader(
            dataset,
            batch_size=num_videos,
            num_workers=data.num_workers,
            prefetch_batches=data.prefetch_batches,
            shuffle=False,
            seed=0,
        )
    return loader.on(device)


def build_prediction_loader(
    videos: Iterable[str | Path],
    preprocessing: Preprocessing,
    *,
    data: DataConfig,
    views: ViewConfig,
    batch_size: int,
    num_videos: int | None = None,
    device: torch.device | None = None,
) -> VideoLoader:
    """Return what `build_evaluation_loader` does, of files that may come without an end.

    `num_videos` is how many there are, where that is known.
    """
    files = NamedFiles(
        sample=sampling_scheme(preprocessing, data, num_clips=views.num_clips),
        transform=evaluation_transform(preprocessing, views, device),
        num_clips=views.num_clips,
        num_crops=views.num_crops,
        backend=data.backend,
        max_pixels=data.max_pixels,
    )
    loader = build_key_loader(
        files,
        itertools.starmap(FileKey, enumerate(videos)),
        batch_size=_videos_in_batch(batch_size, data, views, num_videos=num_videos),
        num_workers=data.num_workers,
        prefetch_batches=data.prefetch_batches,
    )
    return loader.on(device)


def build_window_loader(
    chunks: Iterable[ChunkKey],
    preprocessing: Preprocessing,
    *,
    data: DataConfig,
    views: ViewConfig,
    device: torch.device,
) -> VideoLoader:
    """Return a loader of chunks of long videos as they come: uint8 (crops, C, U, S, S)."""
    reader = ChunkReader(
        transform=evaluation_transform(preprocessing, views, device),
        num_crops=views.num_crops,
        backend=data.backend,
        max_pixels=data.max_pixels,
    )
    loader = build_key_loader(
        reader, chunks, batch_size=1, num_workers=data.num_workers, prefetch_batches=1
    )
    return loader.on(device)


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


def evaluation_transform(
    preprocessing: Preprocessing, views: ViewConfig, device: torch.device | None
) -> ClipTransform:
    """Return what makes the views of a video of its frames, in the process that reads."""
    return build_transform(
        preprocessing,
        num_crops=views.num_crops,
        short_side=preprocessing.short_side if views.short_side is None else views.short_side,
        normalize=False,
        ship_planes=_finishes_clips(device),
    )


def _videos_in_batch(
    batch_size: int, data: DataConfig, views: ViewConfig, *, num_videos: int | None
) -> int:
    """Return how many videos make `batch_size` views, or fewer so that each worker has a batch."""
    whole = max(batch_size // views.num_views, 1)
    if num_videos is None:
        return whole
    return max(min(whole, math.ceil(num_videos / max(data.num_workers, 1))), 1)


def _finishes_clips(device: torch.device | None) -> bool:
    """Whether conversion and resizing are left to the device: a processor has workers for it."""
    return device is not None and device.type == "cuda"
