"""Augmentation of whole batches, against arithmetic written here and against timm's operations."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import AugmentOp

from stvit_video.errors import ConfigError
from stvit_video.settings.data import AugmentationConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.settings.rand_augment import parse_rand_augment
from stvit_video.video.pixels.batch import BatchTransform, keep_apart
from stvit_video.video.pixels.crops import normalize_clip
from stvit_video.video.pixels.mirror import mirrored_classes
from stvit_video.video.pixels.rand_augment import (
    OPERATIONS,
    RandAugment,
)

PREPROCESSING = Preprocessing(num_frames=2, frame_stride=1, image_size=24)
NAMES = ("turn left", "sit", "turn_right", "run", "jump")
NOTHING = AugmentationConfig(flip=0.0)


def _clips(num_clips, height=24, width=28):
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randint(0, 256, (num_clips, 3, 1, 6, 7), generator=generator).float()
    fine = torch.nn.functional.interpolate(coarse.flatten(1, 2), size=(height, width))
    return fine.unflatten(1, (3, 1)).expand(-1, -1, 2, -1, -1).to(torch.uint8)


def _transform(preprocessing=PREPROCESSING, **settings):
    return BatchTransform(preprocessing, replace(NOTHING, **settings), class_names=NAMES)


def test_without_augmentation_clips_are_normalised():
    clips, labels = _clips(3), torch.tensor([4, 0, 1])
    served, targets = _transform()(clips, labels, seed=0)
    assert torch.equal(served, normalize_clip(clips, PREPROCESSING))
    assert torch.equal(targets, labels)


def test_a_flip_mirrors_the_clip_and_takes_left_for_right_in_the_label():
    clips, labels = _clips(5), torch.tensor([0, 1, 2, 3, 4])
    served, targets = _transform(flip=1.0)(clips, labels, seed=0)
    assert torch.equal(served, normalize_clip(clips.flip(-1), PREPROCESSING))
    assert targets.tolist() == [2, 1, 0, 3, 4]


def test_a_flip_is_drawn_for_each_clip_and_repeats_with_the_seed():
    clips, labels = _clips(1).expand(40, -1, -1, -1, -1), torch.zeros(40, dtype=torch.int64)
    transform = _transform(flip=0.3)
    state = torch.default_generator.get_state()
    served, targets = transform(clips, labels, seed=5)
    assert torch.equal(torch.default_generator.get_state(), state)
    flipped = [not torch.equal(clip, served[int((targets == 0).nonzero()[0])]) for clip in served]
    assert flipped == (targets == 2).tolist()
    assert 4 < sum(flipped) < 22
    assert torch.equal(transform(clips, labels, seed=5)[1], targets)
    assert not torch.equal(transform(clips, labels, seed=6)[1], targets)


def test_the_official_pairs_of_something_something_mirror_each_other():
    names = [f"Doing thing {i} with something" for i in range(174)]
    pairs = {
        86: "Pulling something from left to right",
        87: "Pulling something from right to left",
        93: "Pushing something from left to right",
        94: "Pushing something from right to left",
        166: "Turning the camera left while filming something",
        167: "Turning the camera right while filming something",
    }
    for index, name in pairs.items():
        names[index] = name
    mirrored = mirrored_classes(names)
    changed = {index: other for index, other in enumerate(mirrored) if index != other}
    assert changed == {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}


def test_words_that_only_contain_a_side_do_not_mirror():
    assert mirrored_classes(["bright light", "leftover food", "Left", "Right"]) == [0, 1, 3, 2]


def test_a_class_without_its_mirror_image_cannot_be_flipped():
    with pytest.raises(ConfigError) as error:
        mirrored_classes(["turn left", "sit"])
    assert str(error.value) == (
        "class 'turn left' becomes 'turn right' in a mirror, which is no class;"
        " set augmentation.flip to 0"
    )
    BatchTransform(PREPROCESSING, NOTHING, class_names=["turn left", "sit"])


def test_erasing_fills_one_box_of_all_frames_with_noise():
    clips = torch.zeros(60, 3, 2, 24, 28, dtype=torch.uint8)
    transform = _transform(erase=0.5)
    served, _ = transform(clips, torch.zeros(60, dtype=torch.int64), seed=1)
    background = normalize_clip(clips, PREPROCESSING)
    erased = (served != background).flatten(0, 2).reshape(60, 6, 24, 28)  # six pictures a clip
    boxes = erased.any(dim=1)  # (60, H, W)
    assert torch.equal(erased.all(dim=1), boxes)
    assert 18 < int(boxes.any(dim=(1, 2)).sum()) < 42
    for box in boxes[boxes.any(dim=(1, 2))]:
        rows, columns = box.any(dim=1), box.any(dim=0)
        assert torch.equal(box, rows[:, None] & columns)
        assert 0.01 < float(box.float().mean()) < 0.4
        assert int(rows.long().diff().abs().sum()) <= 2
    values = served[erased.any(dim=1)[:, None, None].expand_as(served)]
    assert abs(float(values.mean())) < 0.1
    assert abs(float(values.std()) - 1) < 0.1


def test_mixup_adds_clips_and_targets_in_the_same_shares():
    clips, labels = _clips(3), torch.tensor([4, 0, 1])
    served, targets = _transform(mixup=0.8)(clips, labels, seed=3)
    plain = normalize_clip(clips, PREPROCESSING)
    share = float(targets[0, 4])
    assert 0 < share < 1
    torch.testing.assert_close(served, share * plain + (1 - share) * plain.roll(1, 0))
    expected = torch.zeros(3, 5)
    for row, (own, other) in enumerate([(4, 1), (0, 4), (1, 0)]):
        expected[row, own] += share
        expected[row, other] += 1 - share
    torch.testing.assert_close(targets, expected)
    assert type(served) is torch.Tensor


def test_cutmix_pastes_a_box_and_weighs_the_targets_by_its_area():
    clips, labels = _clips(3), torch.tensor([4, 0, 1])
    transform = _transform(cutmix=1.0)
    served, targets = transform(clips, labels, seed=3)
    plain = normalize_clip(clips, PREPROCESSING)
    pasted = (served != plain).any(dim=(0, 1, 2))  # (H, W)
    own = served == plain
    other = served == plain.roll(1, 0)
    assert bool((own | other).all())
    assert abs(float(pasted.float().mean()) - float(1 - targets[0, 4])) < 0.02
    assert 0 < float(targets[0, 1]) < 1
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(3))


@pytest.mark.parametrize(("num_videos", "clips_each"), [(2, 1), (3, 2), (2, 5), (7, 3)])
def test_neighbours_are_of_different_videos(num_videos, clips_each):
    videos = torch.randperm(90)[:num_videos].repeat_interleave(clips_each)
    order = keep_apart(videos)
    assert sorted(order.tolist()) == list(range(num_videos * clips_each))
    assert (videos[order] != videos[order].roll(1)).all()
    assert keep_apart(torch.tensor([4, 4, 4])) is None


@pytest.mark.parametrize("mix", [{"mixup": 0.8}, {"cutmix": 1.0}])
def test_a_clip_is_mixed_with_one_of_another_video(mix):
    clips, labels = _clips(6), torch.tensor([3, 3, 0, 0, 4, 4])
    videos = torch.tensor([8, 8, 5, 5, 6, 6])
    transform = _transform(**mix)
    served, targets = transform(clips, labels, seed=3, videos=videos)
    assert (targets > 0).sum(dim=1).tolist() == [2] * 6  # labels of two videos, never of one
    assert targets.sum(dim=0).tolist() == pytest.approx([2, 0, 0, 2, 2])
    assert served.shape == clips.shape
    alone, targets = transform(clips, labels, seed=3, videos=torch.full((6,), 2))
    assert torch.equal(alone, normalize_clip(clips, PREPROCESSING))
    assert targets.tolist() == torch.eye(5)[labels].tolist()


def test_mixing_needs_no_even_batch_and_takes_turns():
    clips, labels = _clips(1), torch.tensor([2])
    served, targets = _transform(mixup=0.8, cutmix=1.0)(clips, labels, seed=0)
    torch.testing.assert_close(served, normalize_clip(clips, PREPROCESSING))
    assert targets.tolist() == [[0, 0, 1, 0, 0]]
    transform = _transform(mixup=0.8, cutmix=1.0)
    plain = normalize_clip(_clips(2), PREPROCESSING)
    cut = 0
    for seed in range(20):
        served, _ = transform(_clips(2), torch.tensor([0, 1]), seed=seed)
        cut += bool(((served == plain) | (served == plain.flip(0))).all())
    assert 4 < cut < 16


def test_colours_change_alike_in_all_frames_and_differently_in_each_clip():
    clips = _clips(1).expand(4, -1, -1, -1, -1)
    for settings in ({"color_jitter": 0.4}, {"rand_augment": "rand-m7-n4-mstd0.5-inc1-p1"}):
        served, _ = _transform(**settings)(clips, torch.zeros(4, dtype=torch.int64), seed=2)
        assert torch.equal(served[:, :, 0], served[:, :, 1])
        assert len({float(clip.mean()) for clip in served}) == 4


@pytest.mark.gpu
def test_a_gpu_draws_what_the_cpu_draws():
    clips, labels = _clips(5), torch.tensor([0, 1, 2, 3, 4])
    settings = {"flip": 0.5, "color_jitter": 0.3, "rand_augment": "rand-m7-n4-mstd0.5-inc1"}
    transform = _transform(**settings, mixup=0.8, cutmix=1.0)
    for seed in range(4):
        here, targets = transform(clips, labels, seed=seed)
        there, device_targets = transform(clips.cuda(), labels.cuda(), seed=seed)
        torch.testing.assert_close(device_targets.cpu(), targets)
        assert float((there.cpu() - here).abs().median()) < 0.05


def test_rand_augment_draws_every_operation_and_skips_half():
    counts = dict.fromkeys(OPERATIONS, 0)
    frames = _clips(1)[0].transpose(0, 1)
    torch.manual_seed(0)
    seen = pytest.MonkeyPatch()
    for name in OPERATIONS:

        def count(x, level, fill, name=name):
            counts[name] += 1
            assert 0.4 < abs(level) <= 1
            return x

        seen.setitem(OPERATIONS, name, count)
    augment = RandAugment(parse_rand_augment("rand-m7-n4-mstd0.5-inc1"), fill=(0, 0, 0))
    for _ in range(300):
        augment(frames)
    seen.undo()
    assert all(20 < count < 70 for count in counts.values())
    assert 500 < sum(counts.values()) < 700


TIMM = {
    "auto_contrast": ("AutoContrast", 2),
    "equalize": ("Equalize", 3),
    "invert": ("Invert", 0),
    "rotate": ("Rotate", 12),
    "posterize": ("PosterizeIncreasing", 0),
    "solarize": ("SolarizeIncreasing", 0),
    "solarize_add": ("SolarizeAdd", 0),
    "color": ("ColorIncreasing", 2),
    "contrast": ("ContrastIncreasing", 2),
    "brightness": ("BrightnessIncreasing", 2),
    "sharpness": ("SharpnessIncreasing", 3),
    "shear_x": ("ShearX", 12),
    "shear_y": ("ShearY", 12),
    "translate_x": ("TranslateXRel", 12),
    "translate_y": ("TranslateYRel", 12),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_that_of_timm(name, monkeypatch):
    timm_name, tolerance = TIMM[name]
    height, width = 60, 80
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    picture = torch.stack(
        [(3 * rows + columns) % 256, rows * 4 + 0 * columns, 200 - columns * 2 + 0 * rows]
    ).to(torch.uint8)  # (C, H, W)
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    operation = AugmentOp(
        timm_name,
        prob=1.0,
        magnitude=7,
        hparams={"img_mean": (0, 0, 0), "interpolation": Image.BICUBIC, "translate_pct": 0.45},
    )
    agreeing_levels = []
    for sign in (0.9, 0.1):  # timm negates above a half
        monkeypatch.setattr(random, "random", lambda sign=sign: sign)
        expected = torch.from_numpy(np.asarray(operation(image)).copy()).permute(2, 0, 1)
        ours = [OPERATIONS[name](picture[None], level, [0.0, 0.0, 0.0])[0] for level in (0.7, -0.7)]
        # the share of pixels that agree; edges of what was uncovered may fall a pixel aside
        close = [((o.int() - expected.int()).abs() <= tolerance).float().mean() for o in ours]
        assert max(close) > 0.95
        agreeing_levels.append(close.index(max(close)))
    if name not in ("auto_contrast", "equalize", "invert", "posterize", "solarize", "solarize_add"):
        assert sorted(agreeing_levels) == [0, 1]


def test_what_turns_is_read_bicubically():
    generator = torch.Generator().manual_seed(4)
    noise = torch.rand(1, 3, 30, 40, generator=generator)
    smooth = torch.nn.functional.interpolate(noise, size=(60, 80), mode="bicubic")
    picture = (255 * smooth.clamp(0, 1)).to(torch.uint8)
    image = Image.fromarray(picture[0].permute(1, 2, 0).numpy())
    ours = OPERATIONS["rotate"](picture, 0.4, [0.0, 0.0, 0.0])[0].int()
    errors = {}
    for how in (Image.BICUBIC, Image.BILINEAR):
        turned = [np.asarray(image.rotate(angle, resample=how)) for angle in (12, -12)]
        theirs = [torch.from_numpy(x.copy()).permute(2, 0, 1).int() for x in turned]
        errors[how] = min(float((ours - x).abs().float().mean()) for x in theirs)
    assert errors[Image.BICUBIC] < 0.6 * errors[Image.BILINEAR], errors


def test_colours_change_and_vanish_in_their_shares():
    clips, labels = _clips(1).expand(80, -1, -1, -1, -1), torch.zeros(80, dtype=torch.int64)
    plain = normalize_clip(clips, PREPROCESSING)
    served, _ = _transform(color_jitter=0.4, color_probability=0.3)(clips, labels, seed=1)
    assert 12 < int((served != plain).flatten(1).any(dim=1).sum()) < 36
    flat = Preprocessing(num_frames=2, frame_stride=1, image_size=24, mean=(0, 0, 0), std=(1, 1, 1))
    served, _ = _transform(flat, gray=0.2)(clips, labels, seed=1)
    is_gray = (served == served[:, :1]).flatten(1).all(dim=1)
    assert 6 < int(is_gray.sum()) < 28


def test_rand_augment_on_frames_is_not_done_again_to_the_crop():
    clips, labels = _clips(3), torch.tensor([4, 0, 1])
    transform = _transform(rand_augment="rand-m7-n4-inc1-p1", rand_augment_on="frame")
    assert torch.equal(transform(clips, labels, seed=0)[0], normalize_clip(clips, PREPROCESSING))


def _multi(**settings):
    settings = replace(NOTHING, **settings)
    return BatchTransform(PREPROCESSING, settings, class_names=NAMES, multi_label=True)


def test_a_flip_takes_left_for_right_in_every_label_of_a_video():
    labels = torch.tensor([[1.0, 1, 0, 0, 0], [0, 0, 1, 0, 1], [1, 0, 1, 0, 0]])
    _, targets = _multi(flip=1.0)(_clips(3), labels, seed=0)
    assert targets.tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1], [1, 0, 1, 0, 0]]
    _, kept = _multi(flip=0.0)(_clips(3), labels, seed=0)
    assert torch.equal(kept, labels)


@pytest.mark.parametrize("how", ["mixup", "cutmix"])
def test_labels_of_one_video_alone_are_left_as_they_are(how):
    labels = torch.tensor([[1.0, 1, 0, 0, 0]]).expand(2, -1)
    _, targets = _multi(**{how: 1.0})(_clips(2), labels, seed=3, videos=torch.tensor([4, 4]))
    assert torch.equal(targets, labels)


@pytest.mark.parametrize("how", ["mixup", "cutmix"])
def test_several_labels_a_video_are_mixed_by_the_share_of_their_clips(how):
    clips = torch.stack([torch.full((3, 2, 24, 24), grey).byte() for grey in (0, 200)])
    labels = torch.tensor([[1.0, 1, 0, 0, 0], [0, 1, 0, 1, 0]])
    served, targets = _multi(**{how: 1.0})(clips, labels, seed=3)
    black, white = normalize_clip(clips, PREPROCESSING).mean(dim=(1, 2, 3, 4))
    share = (served.mean(dim=(1, 2, 3, 4)) - black) / (white - black)  # of the second clip
    expected = torch.lerp(labels[:1], labels[1:], share[:, None])
    torch.testing.assert_close(targets, expected, atol=1e-4, rtol=0)
    assert 0.01 < share[0] < 0.99
