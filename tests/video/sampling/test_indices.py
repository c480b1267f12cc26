"""Samplers against index lists worked out by hand."""

from fractions import Fraction

import pytest
import torch

from stvit_video.video.sampling.indices import (
    clip_span,
    evenly_spaced_clips,
    random_dense_clip,
    segment_clip,
    stride_at_fps,
)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def test_four_frames_at_stride_three_span_ten_frames():
    assert clip_span(4, 3) == 10


def test_one_clip_is_centred_and_several_reach_both_ends():
    one = evenly_spaced_clips(20, num_frames=3, frame_stride=2, num_clips=1)
    assert one.tolist() == [[7, 9, 11]]
    three = evenly_spaced_clips(20, num_frames=3, frame_stride=2, num_clips=3)
    assert three.tolist() == [[0, 2, 4], [8, 10, 12], [15, 17, 19]]
    assert three.dtype == torch.int64


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("repeat_last", [0, 4, 8, 8, 8]),
        ("loop", [0, 4, 8, 2, 6]),
        ("clamp", [0, 4, 8, 9, 9]),
    ],
)
def test_a_short_video_follows_its_rule(rule, expected):
    spaced = evenly_spaced_clips(10, num_frames=5, frame_stride=4, num_clips=2, short_video=rule)
    assert spaced.tolist() == [expected, expected]
    drawn = random_dense_clip(
        10, num_frames=5, frame_stride=4, generator=_generator(0), short_video=rule
    )
    assert drawn.tolist() == [expected]


def test_random_clips_start_at_every_possible_frame_and_no_other():
    generator = _generator(3)
    starts = set()
    for _ in range(200):
        (clip,) = random_dense_clip(11, num_frames=3, frame_stride=2, generator=generator)
        assert clip.diff().tolist() == [2, 2]
        starts.add(int(clip[0]))
    assert starts == set(range(7))


def test_segment_centres_are_the_middle_frames_of_equal_parts():
    # 14 frames in 4 parts: 0-2, 3-6, 7-9, 10-13
    assert segment_clip(14, num_frames=4).tolist() == [[1, 4, 8, 11]]


def test_two_segment_clips_read_the_start_and_the_middle_as_videomae_is_tested():
    assert segment_clip(24, num_frames=3, num_clips=2).tolist() == [[0, 8, 16], [4, 12, 20]]
    for length in (16, 37, 53, 90):
        tick = length / 16.0  # as in VideoMAE's ssv2.py
        starts, middles = ([int(half * tick + tick * x) for x in range(16)] for half in (0, 0.5))
        assert segment_clip(length, num_frames=16, num_clips=2).tolist() == [starts, middles]


def test_three_segment_clips_read_at_every_third():
    assert segment_clip(18, num_frames=2, num_clips=3).tolist() == [[0, 9], [3, 12], [6, 15]]


def test_random_segments_reach_every_frame_of_their_part_and_no_other():
    generator = _generator(5)
    seen = [set(), set(), set()]
    for _ in range(100):
        (clip,) = segment_clip(7, num_frames=3, generator=generator)
        for part, index in zip(seen, clip.tolist(), strict=True):
            part.add(index)
    assert seen == [{0, 1}, {2, 3}, {4, 5, 6}]


@pytest.mark.parametrize(
    ("rule", "expected"), [("repeat_last", [0, 1, 2, 2, 2]), ("loop", [0, 1, 2, 0, 1])]
)
def test_more_segments_than_frames_follow_the_rule_for_short_videos(rule, expected):
    clips = segment_clip(3, num_frames=5, num_clips=2, short_video=rule)
    assert clips.tolist() == [expected, expected]


def test_a_stride_at_thirty_fps_doubles_in_a_video_of_sixty():
    assert stride_at_fps(32, fps=60.0, target_fps=30.0) == 64
    assert stride_at_fps(5, fps=12.0, target_fps=30.0) == 2
    assert stride_at_fps(32, fps=30000 / 1001, target_fps=30.0) == Fraction(32000, 1001)


def test_a_fractional_stride_rounds_each_frame_down_without_drift():
    clips = evenly_spaced_clips(9, num_frames=4, frame_stride=Fraction(12, 5), num_clips=2)
    assert clips.tolist() == [[0, 2, 4, 7], [1, 3, 5, 8]]


def test_counts_below_one_are_named():
    with pytest.raises(ValueError, match=r"^video_length \(0\) must be at least 1$"):
        segment_clip(0, num_frames=2)
    with pytest.raises(ValueError, match=r"^num_clips \(0\) must be at least 1$"):
        evenly_spaced_clips(5, num_frames=2, frame_stride=1, num_clips=0)
    with pytest.raises(ValueError, match=r"^frame_stride \(0\) must be above 0$"):
        evenly_spaced_clips(5, num_frames=2, frame_stride=0, num_clips=2)
    with pytest.raises(ValueError, match=r"^fps \(0.0\) must be above 0 to bring the stride to 30"):
        stride_at_fps(4, fps=0.0, target_fps=30.0)
