"""Clips around key frames: which frames, how large, and the boxes in them."""

import dataclasses

import numpy as np
import pytest
import torch

from stvit_video.datasets.ava.annotations import read_actions
from stvit_video.datasets.ava.batches import build_action_loader, collate_clips
from stvit_video.datasets.ava.clips import ActionClips, ClipReading, ClipSize
from stvit_video.datasets.ava.label_map import ActionLabels
from stvit_video.datasets.clips import FailedVideo
from stvit_video.datasets.sampler import ItemKey
from stvit_video.settings.data import DataConfig
from stvit_video.settings.model import Preprocessing
from stvit_video.video.numbered import read_number
from stvit_video.video.sampling.indices import clip_around

LABELS = ActionLabels(("walk left", "walk right", "sit"), (1, 2, 5))
SIZE = ClipSize(short_sides=(64, 64), max_size=1000, multiple=16)
READING = ClipReading(
    preprocessing=Preprocessing(num_frames=4, frame_stride=3, image_size=64),
    size=SIZE,
    data=DataConfig(num_workers=0),
)


@pytest.fixture
def serve(numbered_video, tmp_path):
    def make(rows, **how):
        path = tmp_path / "ava.csv"
        path.write_text(rows)
        reading = dataclasses.replace(READING, **how)
        boxes = read_actions(path, LABELS)
        return ActionClips(boxes, {"film": numbered_video}, reading, num_classes=3)

    return make


def numbers(clip):
    return [read_number(frame.permute(1, 2, 0).numpy()) for frame in clip.transpose(0, 1)]


def test_a_clip_has_its_key_frame_in_the_middle_and_stays_inside():
    assert clip_around(100, 50, num_frames=4, frame_stride=3).tolist() == [44, 47, 50, 53]
    assert clip_around(100, 50, num_frames=5, frame_stride=2).tolist() == [46, 48, 50, 52, 54]
    assert clip_around(100, 1, num_frames=4, frame_stride=3).tolist() == [0, 0, 1, 4]
    assert clip_around(100, 99, num_frames=4, frame_stride=3).tolist() == [93, 96, 99, 99]


def test_the_frames_around_a_second_are_read_and_boxes_are_in_their_pixels(serve):
    clips = serve("film,1,0.25,0.5,0.75,1,1,0\nfilm,901.2,0,0,0.5,0.5,5,0\n")
    item = clips.read(0)  # 25 frames a second
    assert numbers(item.clip) == [19, 22, 25, 28]
    assert item.clip.shape == (3, 4, 64, 96)
    assert item.boxes.tolist() == [[24, 32, 72, 64]]
    assert item.labels.tolist() == [[1, 0, 0]]
    later = serve("film,901.2,0,0,0.5,0.5,5,0\n", first_second=900.0).read(0)
    assert numbers(later.clip) == [24, 27, 30, 33]


def test_a_frame_rate_may_be_asked_for(serve):
    data = DataConfig(num_workers=0, target_fps=12.5)
    assert numbers(serve("film,1,0,0,1,1,1,0\n", data=data).read(0).clip) == [13, 19, 25, 31]


def test_a_second_behind_the_end_is_a_failure_of_its_own(serve):
    clips = serve("film,1,0,0,1,1,1,0\nfilm,2.6,0,0,1,1,1,0\n")
    batch = collate_clips([clips.read(0), clips.read(1)])
    assert batch.frames == (0,)
    (failure,) = batch.failures
    assert failure.video_index == 1
    assert "truncated: second 2.6 is asked for, and the file shows 0 to 2.4" in str(failure.error)
    early = serve("film,1,0,0,1,1,1,0\n", first_second=900.0).read(0)
    assert isinstance(early, FailedVideo)
    assert "detector.first_second says where it begins" in str(early.error)


def test_a_flip_turns_pixels_boxes_and_sides_alike(serve):
    rows = "film,1,0.25,0.5,0.5,1,1,0\nfilm,1,0.5,0,1,0.25,5,1\n"
    plain = serve(rows).read(0)
    turned = serve(rows, flip=1.0, mirrored=(1, 0, 2)).read(0)
    torch.testing.assert_close(turned.clip, plain.clip.flip(-1))
    assert turned.boxes.tolist() == [[48, 32, 72, 64], [0, 0, 48, 16]]
    assert plain.labels.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert turned.labels.tolist() == [[0, 1, 0], [0, 0, 1]]


def test_random_choices_depend_on_the_key_alone(serve):
    size = dataclasses.replace(SIZE, short_sides=(48, 160))
    clips = serve("film,1,0,0,1,1,1,0\n", flip=0.5, size=size)
    drawn = [clips.read(ItemKey(0, seed)) for seed in range(12)]
    again = clips.read(ItemKey(0, 3))
    torch.testing.assert_close(again.clip, drawn[3].clip)
    assert len({item.clip.shape for item in drawn}) > 3


def test_sides_are_multiples_and_the_long_one_has_a_limit():
    assert SIZE(480, 640) == (64, 80)  # 85.3
    assert SIZE(640, 272) == (144, 64)  # 150.6
    assert dataclasses.replace(SIZE, max_size=100)(480, 1920) == (32, 96)
    assert SIZE(10, 9000)[0] == 16


def test_an_epoch_is_served_once_in_order_or_shuffled_and_resumes(serve):
    rows = "".join(f"film,{second / 10:g},0,0,1,1,1,0\n" for second in range(1, 24))
    clips = serve(rows)
    loader = build_action_loader(clips, batch_size=4, shuffle=False, seed=0)
    served = [frame for batch in loader for frame in batch.frames]
    assert served == list(range(23))
    loader = build_action_loader(clips, batch_size=4, shuffle=True, seed=0)
    whole, state = [], {}
    for number, batch in enumerate(loader):
        whole.append(batch.frames)
        if number == 1:
            state = loader.state_dict()
    assert len(whole) == 5
    assert len(set(np.concatenate(whole).tolist())) == 20
    resumed = build_action_loader(clips, batch_size=4, shuffle=True, seed=0)
    resumed.load_state_dict(state)
    assert [batch.frames for batch in resumed] == whole[2:]
