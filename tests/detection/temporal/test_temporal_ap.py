"""mAP of segments: worked by hand, and numbers of the official evaluation."""

import numpy as np
import pytest

from stvit_video.detection.temporal.annotations import Segments
from stvit_video.detection.temporal.temporal_ap import temporal_average_precision


def segments(*rows):
    video, label, score, start, end = map(np.array, zip(*rows, strict=True))
    return Segments(video, np.stack([start, end], axis=1).astype(float), label, score)


def test_a_segment_takes_the_next_one_where_a_better_took_its_own():
    truth = segments((0, 0, 1, 0, 10), (0, 0, 1, 4, 14), (1, 0, 1, 0, 10))
    found = segments(
        (0, 0, 0.9, 1, 11),  # overlaps the first by 9/11
        (0, 0, 0.8, 0, 11),  # the first by 10/11, but it is taken; the second by 7/14
        (2, 0, 0.7, 0, 10),  # of a video without any
        (1, 0, 0.6, 0, 5),  # by a half
    )
    half, most = temporal_average_precision(found, truth, num_classes=1, overlaps=(0.5, 0.8))[:, 0]
    assert half == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert most == pytest.approx(1 / 3)


def test_classes_without_a_truth_are_not_measured_and_those_not_found_are_zero():
    truth = segments((0, 1, 1, 0, 10))
    found = segments((0, 0, 0.9, 0, 10))
    result = temporal_average_precision(found, truth, num_classes=3, overlaps=(0.5,))[0]
    assert np.isnan(result[[0, 2]]).all()
    assert result[1] == 0


def test_it_is_what_the_official_evaluation_finds():
    """The numbers are of ActivityNet's eval_detection.py, which was run on these segments."""
    draw = np.random.default_rng(5)
    video = np.repeat(np.arange(6), 4)
    span = np.sort(draw.random((24, 2)) * 100, axis=1)
    span[:, 1] += 1
    label = draw.integers(0, 3, 24)
    of = np.repeat(np.arange(24), 4)
    moved = span[of] + draw.normal(0, 4, (96, 2))
    moved[:, 1] = np.maximum(moved[:, 1], moved[:, 0] + 0.1)
    named = np.where(draw.random(96) < 0.7, label[of], draw.integers(0, 3, 96))
    score = draw.permutation(96) / 96
    where = np.where(draw.random(96) < 0.1, 7, video[of])
    result = temporal_average_precision(
        Segments(where, moved, named, score),
        Segments(video, span, label, np.ones(24)),
        num_classes=3,
        overlaps=(0.5, 0.75),
    )
    official = [
        [0.4370141700404858, 0.4255855986119144],
        [0.6527777777777777, 0.5416666666666666],
        [0.7194444444444443, 0.38958333333333334],
    ]
    np.testing.assert_allclose(result.T, official, atol=1e-12)
