"""Sampling schemes of the published recipes, as index lists."""

import pytest
import torch

from stvit_video.errors import ConfigError
from stvit_video.video.sampling.scheme import SamplingScheme


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def test_a_dense_scheme_at_thirty_fps_reads_the_same_moments_of_any_video():
    scheme = SamplingScheme(num_frames=3, frame_stride=10, target_fps=30.0, num_clips=1)
    assert scheme(41, fps=30.0).tolist() == [[10, 20, 30]]
    assert scheme(81, fps=60.0).tolist() == [[20, 40, 60]]
    assert scheme(41, fps=15.0).tolist() == [[15, 20, 25]]


def test_without_a_target_the_stride_counts_frames_of_the_file():
    scheme = SamplingScheme(num_frames=3, frame_stride=10)
    assert scheme(41, fps=60.0).tolist() == [[10, 20, 30]]


def test_a_random_scheme_repeats_with_its_seed_and_differs_without():
    scheme = SamplingScheme(num_frames=2, frame_stride=3, num_clips=5, random=True)
    first = scheme(1000, fps=25.0, generator=_generator(1))
    assert first.shape == (5, 2)
    assert len(set(first[:, 0].tolist())) == 5
    assert torch.equal(first, scheme(1000, fps=25.0, generator=_generator(1)))
    assert not torch.equal(first, scheme(1000, fps=25.0, generator=_generator(2)))


def test_uniform_reads_the_centres_even_in_training():
    scheme = SamplingScheme(kind="uniform", num_frames=4, random=True)
    assert scheme(14, fps=25.0, generator=_generator(1)).tolist() == [[1, 4, 8, 11]]


def test_random_segments_use_the_generator():
    scheme = SamplingScheme(kind="segments", num_frames=2, random=True)
    clips = {tuple(scheme(50, fps=1.0, generator=_generator(s))[0].tolist()) for s in range(9)}
    assert len(clips) > 5
    assert all(a < 25 <= b < 50 for a, b in clips)


def test_a_random_scheme_without_a_generator_is_refused():
    scheme = SamplingScheme(num_frames=2, random=True)
    with pytest.raises(ValueError, match=r"^a random sampling scheme needs a generator$"):
        scheme(9, fps=1.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_frames": 0}, "sampling num_frames (0) must be at least 1"),
        (
            {"num_frames": 2, "kind": "tsn"},
            "sampling kind (tsn) must be one of dense, segments, uniform",
        ),
        (
            {"num_frames": 2, "short_video": "pad"},
            "sampling short_video (pad) must be one of repeat_last, loop, clamp",
        ),
        ({"num_frames": 2, "target_fps": 0.0}, "sampling target_fps (0.0) must be above 0"),
    ],
)
def test_a_wrong_setting_is_named(setting, message):
    with pytest.raises(ConfigError) as error:
        SamplingScheme(**setting)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("how", "multiples"),
    [
        ({"frame_stride": 4}, 4),
        ({"frame_stride": 8}, 4),
        ({"frame_stride": 2}, 1),
        ({"frame_stride": 4, "target_fps": 25.0}, 4),
        ({"frame_stride": 4, "target_fps": 30.0}, 1),
    ],
)
def test_random_clips_start_at_multiples_where_their_stride_is_one(how, multiples):
    scheme = SamplingScheme(num_frames=3, num_clips=400, random=True, **how)
    clips = scheme(60, fps=25.0, generator=_generator(3), start_step=4)
    last_start = 59 - int(clips[0, 2] - clips[0, 0])
    assert sorted(set(clips[:, 0].tolist())) == list(range(0, last_start + 1, multiples))


def test_a_video_shorter_than_its_clip_starts_at_its_first_frame_whatever_the_step():
    scheme = SamplingScheme(num_frames=3, frame_stride=4, random=True)
    clips = scheme(7, fps=25.0, generator=_generator(3), start_step=4)
    assert clips.tolist() == [[0, 4, 4]]


def test_evaluation_reads_the_same_frames_whatever_the_step():
    scheme = SamplingScheme(num_frames=3, frame_stride=4, num_clips=5)
    assert scheme(60, fps=25.0, start_step=4).equal(scheme(60, fps=25.0))
