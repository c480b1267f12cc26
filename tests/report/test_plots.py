import itertools
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest
from matplotlib.text import Text

from stvit_video.report.plot_labels import label_points, spread_out
from stvit_video.report.plot_look import (
    COLOURS,
    INK,
    PAPER,
    Axes,
    begin_plot,
    plain_number,
    set_axis,
)
from stvit_video.report.plots import (
    _join_smallest,
    _part_colours,
    line_plot,
    point_plot,
    stacked_bars,
)

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
    assert {"m", "n", "embed", "head", "G (lower is better)"} <= words(picture)


def test_a_png_is_a_png():
    picture = line_plot("a.png", "", {"x": [(1, 2)]}, AXES)
    assert picture.content.startswith(b"\x89PNG")


def test_the_same_plot_is_the_same_bytes():
    with mpl.rc_context({"svg.hashsalt": "fixed"}):
        first, second = (point_plot("a.svg", "", {"x": (1, 2)}, AXES) for _ in range(2))
    assert first.content == second.content


def drawn_axes(log=False, values=(1.0, 9.0)):
    figure, drawn = begin_plot(height=4)
    drawn.plot(values, values)
    axes = Axes(x="GMACs", y="clips/s", log_x=log, x_better="lower", y_better="higher")
    set_axis(drawn, "x", axes, values)
    set_axis(drawn, "y", axes, values)
    figure.draw_without_rendering()
    return figure, drawn


def test_axes_have_plain_numbers_apart_from_each_other_and_start_at_zero_or_say_so():
    _, drawn = drawn_axes(values=(40.0, 180.0))
    assert drawn.get_xlim()[0] == 0
    assert drawn.get_xlabel() == "GMACs (lower is better)"
    _, broken = drawn_axes(values=(67.0, 75.0))
    assert broken.get_ylabel() == "clips/s\n(starts at 66.4, not at 0, higher is better)"
    _, logarithmic = drawn_axes(log=True, values=(14.0, 1400.0))
    assert logarithmic.get_xlabel() == "GMACs (log scale, lower is better)"
    labels = [label for label in logarithmic.get_xticklabels() if label.get_text()]
    assert [label.get_text() for label in labels] == ["10", "30", "100", "300", "1,000"]
    boxes = [label.get_window_extent() for label in labels]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_numbers_are_written_without_an_exponent():
    values = (0, 140, 1568, 0.25, 2.5e-5, 1e7)
    assert [plain_number(value) for value in values] == [
        *("0", "140", "1,568", "0.25", "0.000025", "10,000,000")
    ]


def test_names_of_points_cover_no_other_and_no_point():
    figure, drawn = drawn_axes()
    points = {
        f"a_long_name_of_model_{i}": (5 + 0.3 * (i % 3), 5 + 0.2 * (i // 3)) for i in range(12)
    }
    labels = label_points(figure, drawn, points)
    boxes = [Text.get_window_extent(label) for label in labels]
    assert len(boxes) == 12
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for point in points.values():
        assert not any(box.contains(*drawn.transData.transform(point)) for box in boxes)
    inside = drawn.get_window_extent()
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


def test_names_of_points_cover_no_error_bar():
    figure, drawn = drawn_axes()
    drawn.errorbar(4.5, 8.0, 4.0)  # to the right of the point, where its name would be
    (label,) = label_points(figure, drawn, {"the name of a model": (4.0, 5.0)})
    box, bar = Text.get_window_extent(label), drawn.transData.transform((4.5, 5.0))[0]
    assert not box.x0 < bar < box.x1


def test_names_of_lines_are_moved_apart_in_their_order():
    assert spread_out([0.5, 0.5, 0.1], 0.2) == pytest.approx([0.5, 0.7, 0.1])
    assert spread_out([1.0, 0.95], 0.2) == pytest.approx([1.0, 0.8])


def test_a_part_has_one_colour_and_the_smallest_are_joined():
    bars = {"m": {f"p{i}": 10.0 - i for i in range(10)}, "n": {"p1": 4.0}}
    joined = _join_smallest(bars)
    assert list(joined["m"]) == [*(f"p{i}" for i in range(7)), "other"]
    assert joined["m"]["other"] == 3 + 2 + 1
    colours = _part_colours(joined, {"p1": COLOURS[0]})
    assert colours["p1"] == COLOURS[0]
    assert len(set(colours.values())) == len(colours) == 8


def test_the_text_and_the_table_of_a_picture_have_its_numbers():
    points = point_plot("a.svg", "speed", {"dense": (180.25, 1.5)}, AXES)
    assert points.alt == "speed. dense: GMACs 180.2, clips/s 1.5."
    assert points.numbers.rows == (("dense", 180.25, 1.5),)
    lines = line_plot("b.svg", "sweep", {"dense": [(1, 2), (2, 3)], "one": [(2, 5)]}, AXES)
    assert "dense: clips/s 2 at GMACs 1, 3 at 2" in lines.alt
    assert lines.numbers.rows == (("dense", 2, 3), ("one", None, 5))
    bars = stacked_bars("c.svg", "parts", {"m": {"embed": 1.0, "head": 2.0}}, "G")
    assert bars.alt == "parts. m: G 3, of it embed 1, head 2."
    assert bars.numbers.rows == (("m", 3.0, 1.0, 2.0),)


def test_an_svg_turns_dark_in_a_dark_page():
    content = point_plot("a.svg", "", {"x": (1, 2)}, AXES).content.decode()
    rule = content.index("@media (prefers-color-scheme: dark)")
    assert f'[style*="fill: {INK}"]' in content[rule:]
    assert f'[style*="fill: {PAPER}"]' in content[rule:]
    assert re.search(f'<text style="[^"]*fill: {INK}', content)
    assert re.search(f'<path [^>]*style="fill: {PAPER}', content)


def test_a_line_without_points_is_left_out_and_no_line_is_a_plot_too():
    axes = Axes(x="frames", y="ms")
    picture = line_plot("a.svg", "time", {"joint": [(8, 1.0), (16, 4.0)], "divided": []}, axes)
    assert [row[0] for row in picture.numbers.rows] == ["joint"]
    assert line_plot("a.svg", "time", {"divided": []}, axes).numbers.rows == ()
