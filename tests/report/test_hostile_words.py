"""Names of strangers stay text in every form of a report."""

import io
import json

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from rich.console import Console

from stvit_video.report.clusters import draw_clusters
from stvit_video.report.drawn_table import print_table, print_tables
from stvit_video.report.json_file import write_json
from stvit_video.report.page import Section, html_page, markdown_page
from stvit_video.report.plot_look import Axes, plot_words
from stvit_video.report.plots import point_plot, stacked_bars
from stvit_video.report.progress import count_videos
from stvit_video.report.tables import make_table, table_text
from stvit_video.report.terminal import say

NAME = "[/a]\x1b[2J\u202e|`x`\n<b>$_{^}\\"
SHOWN = r"[/a]\x1b[2J\u202e|`x`\n<b>$_{^}" + "\\"
TABLE = make_table(NAME, ["[bold]video\x1b[2J", "n"], [[NAME, 1]], note=NAME)


def printed(*, terminal=False):
    return Console(file=io.StringIO(), width=200, force_terminal=terminal)


def test_a_line_is_printed_as_text_whatever_it_holds():
    console = printed()
    say(console, NAME, "[bold]x.mp4 :smile:")
    say(console)
    assert console.file.getvalue() == f"{SHOWN}\n[bold]x.mp4 :smile:\n"


@pytest.mark.parametrize("format", ["table", "csv", "markdown", "latex"])
def test_tables_print_no_control_character(format):
    console = printed(terminal=True)
    print_tables(console, [TABLE], format)
    text = console.file.getvalue()
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert r"\x1b" in text or r"\textbackslash{}x1b" in text


def test_a_drawn_table_keeps_brackets():
    console = printed()
    print_table(console, TABLE)
    assert console.file.getvalue().count(SHOWN) == 3  # title, cell, note
    assert "[bold]video" in console.file.getvalue()


def test_a_bar_shows_its_label_as_text():
    console = printed(terminal=True)
    with count_videos(console, "[/a]\x1b[2J", total=1) as count:
        count(1)
    assert r"[/a]\x1b[2J" in console.file.getvalue()


def test_markdown_escapes_what_would_end_a_cell_or_start_html():
    row = table_text(TABLE, "markdown").splitlines()[2]
    assert row == r"| \[/a\]\\x1b\[2J\\u202e\|\`x\`\\n\<b\>\$\_{^}\\ | 1 |"
    assert table_text(make_table("", ["a"], [["fc_norm & &lt; _x"]]), "markdown").splitlines()[
        2
    ] == (r"| fc_norm & &amp;lt; \_x |")
    page = markdown_page("<script>", [Section(title="[a](b)", text="<img>\nnext")])
    assert page == "# \\<script\\>\n\n## \\[a\\](b)\n\n\\<img\\>\nnext\n"


def test_latex_escapes_its_special_characters_and_keeps_a_note_in_its_comment():
    text = table_text(make_table("", ["a"], [["a|<>&%$#_{}~^"]], note="x\n\\input{y}"), "latex")
    assert text.splitlines()[0] == r"% x\n\input{y}"
    assert text.splitlines()[5] == (
        r"a\textbar{}\textless{}\textgreater{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{} \\"
    )


def test_a_page_may_run_no_script_and_load_nothing():
    page = html_page("<script>alert(1)</script>\u202e", [Section(title="t", text=NAME)])
    head = page.split("</head>")[0]
    assert (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'; img-src data:\">"
    ) in head
    assert head.index("Content-Security-Policy") < head.index("<title>")
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in page


def test_a_plot_shows_dollars_and_begins_no_formula():
    name = r"$\frac{$ and _x$"
    assert not is_math_text(plot_words(name))
    assert plot_words(name).replace(r"\$", "$") == name
    assert plot_words("_hidden") == " _hidden"  # matplotlib leaves such labels out
    axes = Axes(x=name, y=name)
    assert point_plot("a.svg", "", {name: (1, 2), "_y": (2, 1)}, axes).content
    assert stacked_bars("a.svg", "", {name: {name: 1.0}}, name).content
    frames, read = np.zeros((1, 4, 4, 3), np.uint8), np.ones((1, 1, 1, 1), np.float32)
    assert draw_clusters(frames, read, title=name)


def test_json_keeps_a_name_that_is_no_text(tmp_path, capsys):
    record = {"video": "\udcff\u202e\x9b\x7f\U000e0041日.mp4"}
    write_json(record, tmp_path / "a.json")
    write_json(record, "-")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == record
    out = capsys.readouterr().out
    assert json.loads(out) == record
    assert out == '{\n  "video": "\\udcff\\u202e\\u009b\\u007f\\udb40\\udc41日.mp4"\n}\n'
