import csv
import io

import pytest

from stvit_video.errors import ConfigError
from stvit_video.report.tables import Column, make_table, table_text

TABLE = make_table(
    "Cost",
    ["model", Column(title="GMACs", format=".1f"), Column(title="clips", format=","), "why"],
    [["a_b <x>", 180.344, 1568, "50 % | less"], ["c", None, 7, None]],
    note="per view & video",
)


def test_csv_keeps_every_digit_and_leaves_unknowns_empty():
    rows = list(csv.reader(io.StringIO(table_text(TABLE, "csv"))))
    assert rows == [
        ["model", "GMACs", "clips", "why"],
        ["a_b <x>", "180.344", "1568", "50 % | less"],
        ["c", "", "7", ""],
    ]


def test_markdown_aligns_numbers_and_escapes_bars():
    assert table_text(TABLE, "markdown") == (
        "| model | GMACs | clips | why |\n"
        "| --- | --: | --: | --- |\n"
        "| a_b \\<x\\> | 180.3 | 1,568 | 50 % \\| less |\n"
        "| c | - | 7 | - |\n"
        "\n"
        "per view & video\n"
    )


def test_latex_escapes_what_it_must():
    assert table_text(TABLE, "latex") == (
        "% per view & video\n"
        "\\begin{tabular}{lrrl}\n"
        "\\toprule\n"
        "model & GMACs & clips & why \\\\\n"
        "\\midrule\n"
        "a\\_b \\textless{}x\\textgreater{} & 180.3 & 1,568 & 50 \\% \\textbar{} less \\\\\n"
        "c & - & 7 & - \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_html_escapes_text_and_marks_numbers():
    text = table_text(TABLE, "html")
    assert "<td>a_b &lt;x&gt;</td>" in text
    assert '<td class="number">180.3</td>' in text
    assert "<caption>Cost</caption>" in text
    assert '<p class="note">per view &amp; video</p>' in text


def test_a_row_must_fill_its_columns():
    with pytest.raises(ValueError, match=r"^row \('a',\) has 1 cells for 2 columns$"):
        make_table("t", ["m", "n"], [["a"]])


def test_an_unknown_format_is_named():
    with pytest.raises(ConfigError) as raised:
        table_text(TABLE, "pdf")
    assert str(raised.value) == "table format (pdf) must be one of csv, markdown, latex, html"
