"""Pixels of clips, against positions worked out by hand."""

import pickle

import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.video.pixels.crops import build_transform, normalize_clip
from stvit_video.video.pixels.rand_augment import RandAugment

PREPROCESSING = Preprocessing(num_frames=3, frame_stride=2, image_size=8)


def _columns(height, width):
    """Three frames whose value is the column, times ten, plus the colour channel."""
    columns = torch.arange(width, dtype=torch.uint8) * 10
    frames = columns[None, None, :, None] + torch.arange(3, dtype=torch.uint8)
    return frames.expand(3, height, width, 3).contiguous()


@pytest.mark.parametrize(("crop", "first"), [(0, 0), (1, 5), (2, 10)])
def test_three_crops_are_left_centre_and_right_of_a_wide_video(crop, first):
    transform = build_transform(PREPROCESSING, num_crops=3, normalize=False)
    clip = transform(_columns(8, 18), crop)
    assert clip.shape == (3, 3, 8, 8)
    assert clip.dtype == torch.uint8
    assert clip[1, 2, 4].tolist() == [10 * (first + i) + 1 for i in range(8)]


@pytest.mark.parametrize(("crop", "first"), [(0, 0), (1, 5), (2, 10)])
def test_three_crops_are_top_centre_and_bottom_of_a_tall_video(crop, first):
    transform = build_transform(PREPROCESSING, num_crops=3, normalize=False)
    clip = transform(_columns(8, 18).transpose(1, 2), crop)
    assert clip[2, 0, :, 4].tolist() == [10 * (first + i) + 2 for i in range(8)]


def test_one_crop_is_the_centre_whatever_its_index():
    transform = build_transform(PREPROCESSING, normalize=False)
    assert transform(_columns(8, 18), 0)[0, 0, 0, 0] == 50


def test_the_short_side_is_brought_to_the_image_size():
    frames = torch.full((3, 16, 24, 3), 77, dtype=torch.uint8)
    frames[:, :, :4] = 0  # the outer 4 of 24 columns: 2 of 12 after resizing, outside the crop
    frames[:, :, -4:] = 255
    clip = build_transform(PREPROCESSING, normalize=False)(frames, 0)
    assert clip.shape == (3, 3, 8, 8)
    assert (clip[..., 1:-1] == 77).all()


@pytest.mark.parametrize(("crop", "first"), [(0, 0), (1, 6), (2, 12)])
def test_a_longer_short_side_leaves_a_margin_around_the_crops(crop, first):
    transform = build_transform(PREPROCESSING, num_crops=3, short_side=1.25, normalize=False)
    frames = _columns(10, 20)  # 8 of 10 rows are kept, the middle ones
    frames[:, [0, -1]] = 0
    clip = transform(frames, crop)
    assert clip[1, 2, 0].tolist() == [10 * (first + i) + 1 for i in range(8)]
    assert clip[1, 2, -1].tolist() == clip[1, 2, 0].tolist()
    standing = transform(frames.transpose(1, 2), crop)
    assert torch.equal(standing, clip.transpose(2, 3))


def test_rand_augment_on_frames_comes_before_the_crop(monkeypatch):
    seen = []
    augmentation = AugmentationConfig(rand_augment="rand-m5-n1-inc1", rand_augment_on="frame")

    def mark(augment, frames):
        seen.append(tuple(frames.shape))
        return frames + 1

    monkeypatch.setattr(RandAugment, "__call__", mark)
    plain, marked = (
        build_transform(PREPROCESSING, augmentation=how, normalize=False, ship_planes=True)
        for how in (AugmentationConfig(), augmentation)
    )
    clips = []
    for transform in (plain, marked):
        torch.manual_seed(1)
        clips.append(transform(torch.full((3, 16, 20, 3), 60, dtype=torch.uint8), 0))
    assert seen == [(3, 3, 16, 20)]
    assert torch.equal(clips[1], clips[0] + 1)
    assert (plain.takes(8, 8), marked.takes(8, 8)) == (True, False)


def test_normalisation_is_the_formula_in_the_order_of_the_weights():
    preprocessing = Preprocessing(
        num_frames=2,
        frame_stride=1,
        image_size=4,
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.25, 0.2),
        channel_order="bgr",
    )
    clip = torch.tensor([51, 102, 153], dtype=torch.uint8).reshape(3, 1, 1, 1).expand(3, 2, 4, 5)
    expected = torch.tensor([(0.6 - 0.1) / 0.5, (0.4 - 0.2) / 0.25, (0.2 - 0.3) / 0.2])
    normal = normalize_clip(clip, preprocessing)
    torch.testing.assert_close(normal, expected.reshape(3, 1, 1, 1).expand(3, 2, 4, 5))
    batch = normalize_clip(torch.stack([clip, clip]), preprocessing)
    torch.testing.assert_close(batch[1], normal)


def test_clips_are_normalised_unless_asked_otherwise():
    clip = build_transform(PREPROCESSING)(torch.zeros(3, 9, 11, 3, dtype=torch.uint8), 0)
    torch.testing.assert_close(
        clip[:, 0, 0, 0], torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    )


@pytest.mark.parametrize("crop", ["random_resized", "scale_jitter"])
def test_a_random_crop_is_the_same_for_all_frames_and_repeats_with_the_seed(crop):
    transform = build_transform(
        PREPROCESSING, augmentation=AugmentationConfig(crop=crop), normalize=False
    )
    frames = _columns(16, 20)
    clips = []
    for seed in (1, 1, 2, 3):
        torch.manual_seed(seed)
        clips.append(transform(frames, 0))
        assert clips[-1].shape == (3, 3, 8, 8)
        assert torch.equal(clips[-1][:, 0], clips[-1][:, 2])
    assert torch.equal(clips[0], clips[1])
    assert not (torch.equal(clips[1], clips[2]) and torch.equal(clips[2], clips[3]))


def test_another_number_of_crops_is_refused():
    with pytest.raises(ConfigError, match=r"^num_crops \(2\) must be 1 or 3$"):
        build_transform(PREPROCESSING, num_crops=2)


def test_transforms_travel_to_spawned_workers():
    on_frames = AugmentationConfig(rand_augment="rand-m5-n1-inc1", rand_augment_on="frame")
    for augmentation in (None, AugmentationConfig(), on_frames):
        transform = build_transform(PREPROCESSING, augmentation=augmentation)
        copy = pickle.loads(pickle.dumps(transform))
        torch.manual_seed(3)
        expected = transform(_columns(16, 20), 0)
        torch.manual_seed(3)
        assert torch.equal(copy(_columns(16, 20), 0), expected)
