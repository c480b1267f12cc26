"""The picture of scores over time."""

import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

from stvit_video.report.timeline_strip import _cells, _chosen, draw_timeline, num_pictures


def test_the_colours_are_the_scores():
    frames = np.zeros((3, 20, 30, 3), np.uint8)
    scores = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    content = draw_timeline(
        "v <b> $x$",
        frames=frames,
        times=[(0.0, 1.0), (1.0, 2.0)],
        scores=scores,
        class_names=["_a", "b"],
        unit="probability",
    )
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    for end in (0.0, 1.0):
        colour = np.round(255 * np.array(colormaps["viridis"](end)[:3]))
        assert (np.abs(picture - colour).max(-1) <= 1).sum() > 5000  # two of four cells each


def test_time_that_no_window_shows_has_no_colour():
    edges, cells = _cells([(0, 1), (2, 3)], np.array([[0.5], [0.7]], np.float32))
    assert edges == [0, 1, 2, 3]
    assert np.isnan(cells).tolist() == [[False], [True], [False]]


def test_classes_are_those_that_win_in_the_order_in_which_they_do():
    scores = np.zeros((5, 20), np.float32)
    scores[[0, 1, 2, 3, 4], [7, 7, 3, 3, 11]] = 1
    scores[0, 15] = 0.9
    assert _chosen(scores)[:3] == [7, 3, 11]
    assert 15 in _chosen(scores)
    assert len(_chosen(scores)) == 8


def test_pictures_keep_their_shape():
    assert num_pictures(1920, 1080) == 5
    assert num_pictures(1080, 1920) == 15
    assert num_pictures(4000, 100) == 3
