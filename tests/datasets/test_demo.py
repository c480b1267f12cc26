import re
from itertools import combinations

import numpy as np
import pytest

from stvit_video.datasets import demo
from stvit_video.datasets.layouts.class_folders import find_class_folders
from stvit_video.video.decoding.open import open_video

SIZES = demo.DemoSizes(train=2, val=1, test=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    demo.write_demo_dataset(root, sizes=SIZES, seed=3)
    return root


def render(split_index, *, motion, group="round", seed=5):
    images = demo._digits_of_split(split_index)
    return demo.render_video(images, np.random.default_rng(seed), group=group, motion=motion)


def test_splits_show_different_handwriting_and_every_digit_of_every_group():
    splits = [demo._digits_of_split(i) for i in range(3)]
    pictures = [{p.tobytes() for images in split.values() for p in images} for split in splits]
    for one, other in combinations(pictures, 2):
        assert not one & other
    for split in splits:
        for digits in demo.DIGIT_GROUPS.values():
            assert all(len(split[digit]) > 20 for digit in digits)


def test_groups_share_no_digit():
    assert len({d for digits in demo.DIGIT_GROUPS.values() for d in digits}) == sum(
        map(len, demo.DIGIT_GROUPS.values())
    )


def test_files_lie_as_kinetics_lays_them_out(written):
    for split, num_videos in (("train", 2), ("val", 1), ("test", 1)):
        manifest = find_class_folders(written / split)
        assert list(manifest.class_names) == demo.class_names()
        assert [r.label for r in manifest.records] == [
            k for k in range(8) for _ in range(num_videos)
        ]
        for record in manifest.records:
            assert re.fullmatch(r"[\w-]{11}_\d{6}_\d{6}\.mp4", record.path.name)


def test_files_are_h264_of_the_stated_length_and_size(written):
    with open_video(find_class_folders(written / "train").records[0].path) as video:
        info = video.info
    assert (info.codec, info.num_frames, info.fps) == ("h264", demo.NUM_FRAMES, 12.0)
    assert (info.height, info.width) == (demo.HEIGHT, demo.WIDTH)


def test_the_same_seed_writes_the_same_pixels_and_another_one_does_not(written, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    one = demo.DemoSizes(train=1, val=0, test=0)
    demo.write_demo_dataset(again, sizes=one, seed=3)
    demo.write_demo_dataset(other, sizes=one, seed=4)
    same = sorted(p.relative_to(again) for p in again.rglob("*.mp4"))
    assert len(same) == 8
    assert all((written / path).read_bytes() == (again / path).read_bytes() for path in same)
    assert not {p.name for p in other.rglob("*.mp4")} & {p.name for p in same}


@pytest.mark.parametrize(("motion", "direction"), demo.MOTIONS.items())
def test_the_digit_moves_as_its_class_says(motion, direction):
    frames = render(0, motion=motion).astype(float).mean(axis=-1)  # (T, H, W)
    moving = frames - np.median(frames, axis=0)
    spectra = np.fft.fft2(moving)
    correlation = np.fft.ifft2(spectra[1:] * spectra[:-1].conj()).real.sum(axis=0)  # (H, W)
    y, x = np.unravel_index(correlation.argmax(), correlation.shape)
    y, x = (y + 32) % 64 - 32, (x + 40) % 80 - 40
    speed = max(abs(y), abs(x))
    assert demo.SPEED[0] - 1 <= speed <= demo.SPEED[1] + 1
    assert (np.sign(y), np.sign(x)) == direction


def test_a_still_frame_says_nothing_of_the_motion():
    # the first frames of two motions differ in noise alone: start and pictures are drawn alike
    first = [render(0, motion=motion)[0].astype(int) for motion in ("left", "down")]
    assert abs(first[0] - first[1]).max() <= 12


def test_every_group_shows_its_own_digits_only(monkeypatch):
    asked = []
    real = demo._pick
    monkeypatch.setattr(demo, "_clutter", lambda images, rng, *, size: np.zeros((64, 80, 3), "f4"))
    monkeypatch.setattr(demo, "_pick", lambda p, rng: asked.append(id(p)) or real(p, rng))
    images = demo._digits_of_split(1)
    for seed in range(12):
        demo.render_video(images, np.random.default_rng(seed), group="straight", motion="up")
    assert set(asked) == {id(images[d]) for d in demo.DIGIT_GROUPS["straight"]}
