"""Segments from the scores of windows."""

import numpy as np
import pytest

from stvit_video.detection.temporal.find import find_segments, span_overlap, suppress

TIMES = np.stack([np.arange(12.0), np.arange(12.0) + 1], axis=1)


def scores_of(*columns):
    return np.array(columns, dtype=float).T


def test_windows_above_a_cut_are_one_segment_with_sharp_ends():
    scores = scores_of([0.1, 0.1, 0.1, 0.9, 0.8, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    found = find_segments(TIMES, scores, video=3)
    assert found.video.tolist() == [3] * len(found.video)
    assert found.span[0].tolist() == [3, 6]
    assert found.score[0] == pytest.approx(2.6 / 3 - 0.1)
    assert found.label[0] == 0


def test_two_actions_of_a_class_are_two_segments():
    scores = scores_of([0, 0.8, 0.8, 0, 0, 0, 0, 0.4, 0.4, 0.4, 0, 0])
    found = find_segments(TIMES, scores)
    assert found.span[:2].tolist() == [[1, 3], [7, 10]]
    assert found.score[:2] == pytest.approx([0.8, 0.4])


def test_an_action_that_fills_the_video_is_all_of_it():
    found = find_segments(TIMES, scores_of([0.7] * 12))
    assert found.span.tolist() == [[0, 12]]
    assert found.score.tolist() == pytest.approx([0.7])


def test_classes_that_are_nowhere_are_left_out_and_others_sorted_by_score():
    scores = scores_of([0.005] * 12, [0] * 6 + [0.5] * 6, [0.9] * 4 + [0] * 8)
    found = find_segments(TIMES, scores)
    assert found.label.tolist() == [2, 1]
    assert find_segments(TIMES, scores_of([0.0] * 12)).span.shape == (0, 2)


def test_at_most_a_hundred_are_kept_of_a_video():
    times = np.stack([np.arange(400.0), np.arange(400.0) + 1], axis=1)
    found = find_segments(times, scores_of([1.0, 0.0] * 200))
    assert len(found.video) == 100


def test_the_better_of_two_that_overlap_by_half_is_kept():
    spans = np.array([[0, 10], [5, 15], [0, 9], [0, 5.0]])
    assert suppress(spans, np.array([0.5, 0.4, 0.9, 0.1])).tolist() == [2, 1]
    assert span_overlap(spans[0], spans).tolist() == pytest.approx([1, 1 / 3, 0.9, 0.5])
