"""A table on a terminal: lines and columns where they fit, else a block a row.

No number and no name is ever broken. Too wide a table first gets cells of two lines and heads of
three, broken at words; then columns that say the same in every row go into a line below; then each
row becomes a block of lines, without what is unknown. Pipes get every row on one line.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import rich.table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from stvit_video.report.tables import UNKNOWN, Table, is_numeric, shown_rows, table_text
from stvit_video.report.terminal import as_text, say, say_wrapped, wrap_words
from stvit_video.settings.output import TableFormat
from stvit_video.visible import visible

_CELL_LINES, _HEAD_LINES = 2, 3
_EDGE, _PER_COLUMN = 1, 3
"""Places that lines and gaps take, of a table and of each column."""


def print_tables(console: Console, tables: Sequence[Table], format: TableFormat) -> None:
    """Print tables, drawn for the terminal or as text in another format."""
    for table in tables:
        if format == "table":
            print_table(console, table)
        else:
            console.out(table_text(table, format))


def print_table(console: Console, table: Table) -> None:
    """Print title, table and note as wide as the terminal, or in a pipe as wide as the table."""
    say(console, table.title)
    if not console.is_terminal:
        _draw(console, table, _natural_widths(table))
    else:
        _print_fitting(console, table)
    if table.note:
        say_wrapped(console, table.note)


def _print_fitting(console: Console, table: Table) -> None:
    shorter, constants = drop_constants(table)
    if widths := fit_widths(table, console.width):
        _draw(console, table, widths)
        return
    if widths := fit_widths(shorter, console.width):
        _draw(console, shorter, widths)
    else:
        _print_blocks(console, shorter)
    if constants:
        say_wrapped(console, f"In every row: {constants}.")


def fit_widths(table: Table, width: int) -> list[int] | None:
    """Give each column its places so that the table takes `width`; None where it cannot."""
    widths = _natural_widths(table)
    least = [_least_width(cells) for cells in _columns(table)]
    while _EDGE + sum(_PER_COLUMN + own for own in widths) > width:
        slack = [own - most_narrow for own, most_narrow in zip(widths, least, strict=True)]
        if not any(slack):
            return None
        widths[slack.index(max(slack))] -= 1
    return widths


def drop_constants(table: Table) -> tuple[Table, str]:
    """Take off columns, all but the first, that say the same in several rows; say what they say."""
    rows = shown_rows(table)
    same = {
        place: rows[0][place]
        for place in range(1, len(table.columns))
        if len(rows) > 1 and len({row[place] for row in rows}) == 1
    }
    words = ", ".join(f"{table.columns[place].title} {word}" for place, word in same.items())
    kept = [place for place in range(len(table.columns)) if place not in same]
    columns = tuple(table.columns[place] for place in kept)
    shorter = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return dataclasses.replace(table, columns=columns, rows=shorter), words


def _draw(console: Console, table: Table, widths: Sequence[int]) -> None:
    drawn = rich.table.Table()
    for place, column in enumerate(table.columns):
        justify = "right" if is_numeric(table, place) else "left"
        drawn.add_column(as_text(column.title), justify=justify, width=widths[place])  # type: ignore[arg-type]
    for row in shown_rows(table):
        drawn.add_row(*map(as_text, row))
    width_before = console.width
    console.width = _EDGE + sum(_PER_COLUMN + own for own in widths)
    console.print(drawn)
    console.width = width_before


def _print_blocks(console: Console, table: Table) -> None:
    """Print blocks of lines, each `title  value`, below the longer ones of names and titles."""
    names, *columns = _columns(table)
    del names[0]
    longest_title = max((cell_len(head) for head, *_ in columns), default=0)
    if max(map(cell_len, names), default=0) >= longest_title:
        blocks = [
            (name, [(head, cells[place]) for head, *cells in columns])
            for place, name in enumerate(names)
        ]
    else:
        blocks = [(head, list(zip(names, cells, strict=True))) for head, *cells in columns]
    for heading, lines in blocks:
        console.print(Text(heading, style="bold"), soft_wrap=True)
        known = [(key, cell) for key, cell in lines if cell != UNKNOWN]
        indent = 4 + max((cell_len(key) for key, _ in known), default=0)
        for key, cell in known:
            first, *rest = wrap_words(cell, max(console.width - indent, 1))
            gap = " " * (indent - 2 - cell_len(key))
            say(console, f"  {key}{gap}{first}", *(" " * indent + line for line in rest))


def _columns(table: Table) -> Iterator[list[str]]:
    """Pass the title and the cells of each column on, as they are shown."""
    rows = [[visible(cell) for cell in row] for row in shown_rows(table)]
    for place, column in enumerate(table.columns):
        yield [visible(column.title), *(row[place] for row in rows)]


def _natural_widths(table: Table) -> list[int]:
    return [max(map(cell_len, cells)) for cells in _columns(table)]


def _least_width(cells: Sequence[str]) -> int:
    """Return how narrow a column can be."""
    head, *body = cells
    widths = [_narrowest(head, _HEAD_LINES), *(_narrowest(cell, _CELL_LINES) for cell in body)]
    return max(widths)


def _narrowest(text: str, most_lines: int) -> int:
    """Return the least width at which a text takes at most so many lines, broken at words."""
    width = max(map(cell_len, text.split(" ")))
    while len(wrap_words(text, width)) > most_lines:
        width += 1
    return width
