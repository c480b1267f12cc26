"""Tables on terminals of several widths, and in pipes."""

import io
import re

import pytest
from rich.console import Console

from stvit_video.report.drawn_table import drop_constants, fit_widths, print_table
from stvit_video.report.tables import Column, make_table

MODEL = "videomae_base_patch16_224"
COST = make_table(
    "Cost",
    ["model", "x fewer", Column(title="GMACs/view", format=".2f"), "views", "operators left out"],
    [[MODEL, "1.00", 180.344, 1, None], [f"{MODEL}:8x4x4@4", "2.47", 72.937, 1, "two of these"]],
    note="1 MAC is one multiply-add pair, which papers print as one FLOP.",
)


def drawn(table, *, width, is_terminal=True):
    """Return the lines that a console of so many columns shows."""
    console = Console(width=width, file=io.StringIO(), force_terminal=is_terminal, no_color=True)
    print_table(console, table)
    assert console.width == width
    return console.file.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()


def cells(line):
    """Return the words between the lines of a table."""
    return re.sub("[│┃]", " ", line).split()


def test_a_wide_terminal_shows_the_table_as_it_is():
    lines = drawn(COST, width=120)
    assert lines[0] == "Cost"
    assert cells(lines[4]) == [MODEL, "1.00", "180.34", "1", "-"]
    assert lines[-1] == COST.note


def test_cells_take_two_lines_before_anything_is_left_out():
    lines = drawn(COST, width=82)
    assert max(map(len, lines)) <= 82
    assert cells(lines[2]) == ["operators"]
    assert cells(lines[-4]) == [f"{MODEL}:8x4x4@4", "2.47", "72.94", "1", "two", "of"]
    assert cells(lines[-3]) == ["these"]


def test_what_every_row_says_goes_below_when_there_is_no_room():
    lines = drawn(COST, width=76)
    assert max(map(len, lines)) <= 76
    assert not any("views" in line for line in lines[:-2])
    assert lines[-2:] == ["In every row: views 1.", COST.note]


def test_a_narrow_terminal_shows_a_block_a_row():
    assert drawn(COST, width=50) == [
        "Cost",
        MODEL,
        "  x fewer     1.00",
        "  GMACs/view  180.34",
        f"{MODEL}:8x4x4@4",
        "  x fewer             2.47",
        "  GMACs/view          72.94",
        "  operators left out  two of these",
        "In every row: views 1.",
        "1 MAC is one multiply-add pair, which papers print",
        "as one FLOP.",
    ]


def test_blocks_are_named_by_what_is_longer():
    table = make_table("GMACs", ["stage", MODEL, f"{MODEL}:8x4x4@4"], [["embed", 1.5, None]])
    assert drawn(table, width=40) == ["GMACs", MODEL, "  embed  1.5", f"{MODEL}:8x4x4@4"]


def test_a_long_cell_of_a_block_goes_on_below_itself():
    table = make_table("recipes", ["name", "what"], [["a" * 30, "trains one of these models"]])
    assert drawn(table, width=20) == [
        *("recipes", "a" * 30, "  what  trains one", "        of these", "        models"),
    ]


def test_a_pipe_gets_every_row_on_one_line_as_wide_as_it_is():
    lines = drawn(COST, width=40, is_terminal=False)
    assert lines[0] == "Cost"
    assert lines[-2].startswith("└")
    assert cells(lines[-3]) == [f"{MODEL}:8x4x4@4", "2.47", "72.94", "1", "two", "of", "these"]
    assert lines[-1] == COST.note


def test_a_wide_letter_takes_two_places():
    table = make_table("t", ["label"], [["跳跃" * 4]])
    assert fit_widths(table, 20) == [16]
    assert fit_widths(table, 19) is None


def test_the_first_column_and_single_rows_are_never_left_out():
    twice = make_table("t", ["model", "views"], [["a", 1], ["a", 1]])
    shorter, words = drop_constants(twice)
    assert [column.title for column in shorter.columns] == ["model"]
    assert (shorter.rows, words) == ((("a",), ("a",)), "views 1")
    once = make_table("t", ["model", "views"], [["a", 1]])
    assert drop_constants(once) == (once, "")


@pytest.mark.parametrize("width", [1, 20, 200])
def test_a_table_without_rows_is_drawn(width):
    assert drawn(make_table("empty", ["model", "views"], []), width=width)[0] == "empty"
    assert drawn(make_table("empty", ["model"], []), width=width)[0] == "empty"


def test_text_in_brackets_is_shown_as_it_is():
    lines = drawn(make_table("t", ["m"], [["[red]x[/red]"]]), width=80)
    assert any("[red]x[/red]" in line for line in lines)


def test_a_cell_takes_two_lines_and_never_three():
    table = make_table("t", ["model", "note"], [["model_a", "one two three four five six"]])
    assert fit_widths(table, 27) == [7, 13]  # one two three / four five six
    assert fit_widths(table, 26) is None
