"""Loaders take what the settings say."""

import pytest
import torch

from stvit_video.datasets.from_settings import (
    build_evaluation_loader,
    build_training_loader,
    read_training_videos,
    read_videos,
)
from stvit_video.errors import DatasetError
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig, Preprocessing
from stvit_video.settings.training import RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.video.decoding.pyav import PyavDecoder
from stvit_video.video.pixels.planes import PlaneTransform
from stvit_video.video.pixels.transform import WindowTransform

SHAPE = Preprocessing(num_frames=2, frame_stride=2, image_size=16)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("a.mp4\nb.mp4\n", "data.train ({}) holds no labels; training needs at least 2 classes"),
        ("a.mp4,1\nb.mp4,\n", "label of {}/b.mp4 is not known; training needs one"),
    ],
)
def test_a_list_to_train_on_has_labels(tmp_path, rows, fault):
    path = tmp_path / "list.csv"
    path.write_text(("path,label\n" if "," in rows else "path\n") + rows)
    (tmp_path / "list.labels.txt").write_text("run\nsit\n" if "," in rows else "")
    with pytest.raises(DatasetError) as caught:
        read_training_videos(path)
    assert str(caught.value) == fault.format(tmp_path if "," in rows else path)


def test_workers_and_the_batches_they_hold_ready_are_settings(class_folder_root):
    videos = read_videos(class_folder_root)
    data = DataConfig(num_workers=1, prefetch_batches=5, max_pixels=6143)
    run = RunConfig(model=ModelConfig(name="demo_tiny"), data=data)
    train = build_training_loader(videos, SHAPE, run)
    val = build_evaluation_loader(
        videos.records, SHAPE, data=data, views=ViewConfig(), batch_size=4
    )
    for loader in (train, val):
        assert (loader.num_workers, loader.prefetch_factor) == (1, 5)
        assert loader.dataset.videos.records is videos.records
        assert loader.dataset.videos.max_pixels == 6143


@pytest.mark.parametrize(
    ("device", "kind"),
    [("cuda", PlaneTransform), ("cpu", WindowTransform), (None, WindowTransform)],
)
def test_a_gpu_is_fed_planes_and_a_processor_finished_clips(class_folder_root, device, kind):
    videos = read_videos(class_folder_root)
    place = None if device is None else torch.device(device)
    train = build_training_loader(
        videos,
        SHAPE,
        RunConfig(model=ModelConfig(name="demo_tiny"), data=DataConfig()),
        device=place,
    )
    val = build_evaluation_loader(
        videos.records, SHAPE, data=DataConfig(), views=ViewConfig(), batch_size=4, device=place
    )
    for loader in (train, val):
        assert type(loader.dataset.videos.transform) is kind
        assert loader.delivery.device == torch.device(device or "cpu")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    ("num_workers", "num_clips", "sizes"),
    [
        (0, 1, [4, 1]),
        (1, 1, [4, 1]),
        (2, 1, [3, 2]),
        (4, 1, [2, 2, 1]),
        (9, 1, [1] * 5),
        (0, 8, [1] * 5),
    ],
)
def test_a_few_videos_are_evaluated_by_all_workers(
    class_folder_root, num_workers, num_clips, sizes
):
    records = read_videos(class_folder_root).records
    data, views = DataConfig(num_workers=num_workers), ViewConfig(num_clips=num_clips)
    loader = build_evaluation_loader(records, SHAPE, data=data, views=views, batch_size=4)
    assert [len(keys) for keys in loader.batch_sampler] == sizes


@pytest.mark.parametrize("share_frames", [False, True])
def test_clips_of_a_video_show_the_same_frames_where_they_share_them(
    class_folder_root, share_frames, monkeypatch
):
    decoded = []
    frames = PyavDecoder.frames

    def read(decoder, indices):
        decoded.append(list(indices))
        return frames(decoder, indices)

    monkeypatch.setattr(PyavDecoder, "frames", read)
    run = RunConfig(
        model=ModelConfig(name="demo_tiny"),
        data=DataConfig(num_workers=0, backend="pyav"),
        augmentation=AugmentationConfig(crop_area=(0.1, 0.2)),
        train=TrainConfig(batch_size=6, clips_per_video=3, share_frames=share_frames),
    )
    (batch, *_) = build_training_loader(read_videos(class_folder_root), SHAPE, run)
    assert len(batch.video_index.unique_consecutive()) == 2
    assert [len(indices) for indices in decoded[:2]] == [2 if share_frames else 6] * 2
    for clips in batch.clip.unflatten(0, (2, 3)):
        assert not torch.equal(clips[0], clips[1])
        assert not torch.equal(clips[1], clips[2])


def test_videos_above_the_limit_of_pixels_are_failed_ones(class_folder_root):
    videos = read_videos(class_folder_root)
    data = DataConfig(num_workers=0, max_pixels=6143)  # of 96x64
    loader = build_evaluation_loader(
        videos.records, SHAPE, data=data, views=ViewConfig(), batch_size=4
    )
    failed = loader.dataset.videos.read(0)
    assert (failed.video_index, failed.error.reason) == (0, "too large")
