"""A table, written for a terminal, CSV, Markdown, LaTeX or HTML from the same cells."""

import csv
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import rich.table
from rich.console import Console
from rich.measure import Measurement

from stvit_video.errors import ConfigError
from stvit_video.report.terminal import as_text, say
from stvit_video.settings.output import TableFormat
from stvit_video.visible import visible

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """Head of a column, and how its numbers are shown."""

    title: str
    """With the unit."""
    format: str = ""
    """Format of numbers, as in `.1f`; CSV keeps every digit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells under titled columns; None is shown as `-`."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """What a reader must know to compare the numbers: units, conditions."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row} has {len(row)} cells for {len(self.columns)} columns")


def make_table(
    title: str, columns: Sequence[Column | str], rows: Sequence[Sequence[Cell]], *, note: str = ""
) -> Table:
    """Build a table; a column given as text has no number format."""
    heads = tuple(Column(title=c) if isinstance(c, str) else c for c in columns)
    return Table(title=title, columns=heads, rows=tuple(map(tuple, rows)), note=note)


def show_cell(cell: Cell, column: Column) -> str:
    """Write one cell as a reader sees it."""
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else format(cell, column.format)


def rich_table(table: Table) -> rich.table.Table:
    """Make the table that rich prints, numbers to the right; title and note stay outside."""
    drawn = rich.table.Table()
    for index, column in enumerate(table.columns):
        justify = "right" if _is_numeric(table, index) else "left"
        drawn.add_column(as_text(column.title), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in _shown(table):
        drawn.add_row(*map(as_text, row))
    return drawn


def print_table(console: Console, table: Table) -> None:
    """Print to a terminal, folded to its width, or to a pipe or file, as wide as the table is."""
    drawn = rich_table(table)
    folded_width = console.width
    if not console.is_terminal:
        options = console.options.update(max_width=9999)
        console.width = Measurement.get(console, options, drawn).maximum
    say(console, table.title)
    console.print(drawn)
    console.width = folded_width
    if table.note:
        say(console, table.note)


def csv_text(table: Table) -> str:
    """Write as CSV with a header, numbers in full."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([visible(column.title) for column in table.columns])
    writer.writerows(
        ["" if c is None else visible(c) if isinstance(c, str) else c for c in row]
        for row in table.rows
    )
    return stream.getvalue()


def markdown_text(table: Table, *, is_markdown: bool = False) -> str:
    """Write as a Markdown table, the note below it; what `is_markdown` already stays as it is."""
    write = str if is_markdown else markdown_words
    rule = ["--:" if _is_numeric(table, i) else "---" for i in range(len(table.columns))]
    words = [[column.title for column in table.columns], *_shown(table)]
    head, *body = ([write(cell) for cell in line] for line in words)
    text = "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))
    return text + (f"\n\n{write(table.note)}" if table.note else "") + "\n"


def latex_text(table: Table) -> str:
    """Write as a LaTeX tabular for the booktabs package."""
    align = "".join("r" if _is_numeric(table, i) else "l" for i in range(len(table.columns)))
    head = " & ".join(_latex(column.title) for column in table.columns)
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in _shown(table)]
    note = [f"% {visible(table.note)}"] if table.note else []
    return "\n".join(
        [
            *note,
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def html_text(table: Table) -> str:
    """Write as an HTML table, its title as caption and its note below."""
    numeric = [_is_numeric(table, i) for i in range(len(table.columns))]
    classes = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(
        f"<th{cls}>{html_words(column.title)}</th>"
        for cls, column in zip(classes, table.columns, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td{cls}>{html_words(cell)}</td>" for cls, cell in zip(classes, row, strict=True)
        )
        + "</tr>"
        for row in _shown(table)
    )
    note = f'\n<p class="note">{html_words(table.note)}</p>' if table.note else ""
    return (
        f"<table><caption>{html_words(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>{note}\n"
    )


_WRITERS: dict[str, Callable[[Table], str]] = {
    "csv": csv_text,
    "markdown": markdown_text,
    "latex": latex_text,
    "html": html_text,
}


def table_text(table: Table, format: str) -> str:
    """Write a table as `csv`, `markdown`, `latex` or `html`.

    Raises:
        ConfigError: another format.
    """
    if format not in _WRITERS:
        raise ConfigError(f"table format ({format}) must be one of {', '.join(_WRITERS)}")
    return _WRITERS[format](table)


def print_tables(console: Console, tables: Sequence[Table], format: TableFormat) -> None:
    """Print tables, drawn for the terminal or as text in another format."""
    for table in tables:
        if format == "table":
            print_table(console, table)
        else:
            console.out(table_text(table, format))


def _shown(table: Table) -> list[list[str]]:
    return [
        [show_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]


def _is_numeric(table: Table, index: int) -> bool:
    cells = [row[index] for row in table.rows if row[index] is not None]
    return bool(cells) and all(isinstance(cell, int | float) for cell in cells)


def markdown_words(text: str) -> str:
    """Write words so that Markdown and the HTML in it show them as they are."""
    special = r"[\\`*\[\]<>|$~]|(?<!\w)_|_(?!\w)"
    text = re.sub(r"&(?=#?\w+;)", "&amp;", visible(text))
    return re.sub(special, r"\\\g<0>", text)


def html_words(text: str) -> str:
    """Write words so that a page shows them as they are."""
    return html.escape(visible(text))


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    shown = visible(text)
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in shown)
