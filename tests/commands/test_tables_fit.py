"""Tables that commands print, at 60, 80 and 200 columns: no number and no name is broken."""

import io
import random
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from stvit_video import create_model
from stvit_video.cli import main
from stvit_video.models.checkpoint import write_checkpoint
from stvit_video.report.drawn_table import print_table
from stvit_video.report.tables import UNKNOWN, Column, Table, is_numeric, make_table, shown_rows

WIDTHS = [60, 80, 200]
LABELS = ("pushing left", "waving")


@pytest.fixture(scope="module")
def tables(tmp_path_factory, class_folder_root):
    """Every table that is made while commands run, by its title."""
    folder = tmp_path_factory.mktemp("tables")
    shape = {"num_frames": 2, "frame_stride": 2, "image_size": 32}
    model = create_model("demo_tiny", semantic="1x2x2@2", num_classes=2, **shape)
    write_checkpoint(model, folder / "model", labels=LABELS)
    checkpoint = ["--checkpoint", folder / "model", "--num_workers", "0"]
    one, other = sorted((class_folder_root / "waving").iterdir())
    commands = [
        ["models", "*base*"],
        ["recipes"],
        ["flops", "demo_tiny", "demo_tiny:4x2x2@2", "demo_tiny:tome:r=8"],
        ["benchmark", "demo_tiny", "demo_tiny:4x2x2@2", "--rounds", "2", "--batch_sizes", "1", "2"],
        ["predict", one, *checkpoint],
        ["predict", one, other, *checkpoint],
        ["predict", one, *checkpoint, "--window", "0.4s"],
        ["evaluate", class_folder_root, "--checkpoint", folder / "model", "--num_workers", "0"],
        ["export", folder / "model", "--output", folder / "model.pt2", "--format", "torch"],
    ]
    found: dict[str, Table] = {}
    with pytest.MonkeyPatch.context() as patch:
        check = Table.__post_init__
        patch.setattr(Table, "__post_init__", lambda t: (check(t), found.update({t.title: t})))
        for command in commands:
            assert main([*map(str, command)]) == 0, command
    return found


def lines_of(table: Table, width: int) -> list[str]:
    """Draw a table on a terminal of so many columns."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    print_table(console, table)
    return console.file.getvalue().splitlines()


def check_whole(table: Table, width: int) -> None:
    """See that each number stands whole on a line, and each word, and nothing is too wide."""
    lines = lines_of(table, width)
    rows = shown_rows(table)
    known = [
        place for place in range(len(table.columns)) if any(row[place] != UNKNOWN for row in rows)
    ]
    words = {word for row in rows for cell in row for word in cell.split()}
    words |= {word for place in known[1:] for word in table.columns[place].title.split()}
    shown = {word for line in lines for word in re.split(r"[ │┃]+", line)}
    ends = {word.rstrip(".,") for word in shown}
    assert {word for word in words - shown - ends if word != UNKNOWN} == set()
    for place, column in enumerate(table.columns):
        for row in rows if is_numeric(table, place) else ():
            assert row[place] in shown | ends | {UNKNOWN}, (column.title, row[place])
    for line in lines[1:]:
        assert cell_len(line) <= width or len(line.split()) <= 2, line


@pytest.mark.parametrize("width", WIDTHS)
def test_every_table_of_a_command_is_whole(tables, width):
    titles = " ".join(tables)
    for title in ("models", "recipes", "Cost", "GMACs per view by stage", "Speed", "2 videos"):
        assert title in titles, title
    assert len(tables) >= 10
    for table in tables.values():
        check_whole(table, width)


def test_a_wide_terminal_draws_what_a_narrow_one_shows_as_blocks(tables):
    cost = tables["Cost"]
    assert lines_of(cost, 200)[1].startswith("┏")
    assert lines_of(cost, 60)[1:3] == ["demo_tiny", "  x fewer       1.00"]
    assert any(line.startswith("In every row: clip 8x64x64, ") for line in lines_of(cost, 60))


@pytest.mark.parametrize("seed", range(40))
def test_any_table_is_whole(seed):
    draw = random.Random(seed)
    columns = [
        Column(title=" ".join(draw.choices(["model", "GMACs/view", "x", "跳跃", "%"], k=2)))
        for _ in range(draw.randint(1, 12))
    ]
    names = ["videomae_base_patch16_224:8x4x4@4", "a b c", "跳跃跳跃 跳", ""]
    kinds = [draw.choice(["name", "number"]) for _ in columns]
    rows = [
        [draw.choice(names) if kind == "name" else draw.randint(0, 10**9) for kind in kinds]
        for _ in range(draw.randint(0, 6))
    ]
    table = make_table("some", columns, rows, note="numbers of nothing, in any unit " * 3)
    for width in WIDTHS:
        check_whole(table, width)
