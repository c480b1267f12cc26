import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest

from stvit_video.report.plot_look import Axes
from stvit_video.report.plots import line_plot, point_plot, stacked_bars

AXES = Axes(x="GMACs", y="clips/s", log_x=True)


@pytest.fixture(autouse=True)
def _text_stays_text():
    with mpl.rc_context({"svg.fonttype": "none"}):
        yield


def words(picture):
    root = ET.fromstring(picture.content)
    return {
        text.strip() for element in root.iter() for text in [element.text or ""] if text.strip()
    }


def test_points_and_lines_are_labelled_and_the_axes_named():
    points = point_plot("a.svg", "speed", {"dense": (180, 1.5), "ours": (69, 4.0)}, AXES)
    lines = line_plot("b.svg", "sweep", {"dense": [(1, 2), (2, 3)], "one": [(2, 5)]}, AXES)
    assert {"dense", "ours", "GMACs", "clips/s"} <= words(points)
    assert {"dense", "one", "GMACs", "clips/s"} <= words(lines)
    assert (points.name, points.caption) == ("a.svg", "speed")


def test_bars_stack_their_parts_in_order():
    picture = stacked_bars("c.svg", "parts", {"m": {"embed": 1, "head": 2}, "n": {"embed": 3}}, "G")
    assert {"m", "n", "embed", "head", "G"} <= words(picture)


def test_a_png_is_a_png():
    picture = line_plot("a.png", "", {"x": [(1, 2)]}, AXES)
    assert picture.content.startswith(b"\x89PNG")


def test_the_same_plot_is_the_same_bytes():
    with mpl.rc_context({"svg.hashsalt": "fixed"}):
        first, second = (point_plot("a.svg", "", {"x": (1, 2)}, AXES) for _ in range(2))
    assert first.content == second.content
