"""A table, written as CSV, Markdown, LaTeX or HTML from the same cells."""

import csv
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stvit_video.errors import ConfigError
from stvit_video.visible import visible

Cell = str | int | float | None
UNKNOWN = "-"
"""How None is shown."""


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
        return UNKNOWN
    return cell if isinstance(cell, str) else format(cell, column.format)


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
    rule = ["--:" if is_numeric(table, i) else "---" for i in range(len(table.columns))]
    words = [[column.title for column in table.columns], *shown_rows(table)]
    head, *body = ([write(cell) for cell in line] for line in words)
    text = "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))
    return text + (f"\n\n{write(table.note)}" if table.note else "") + "\n"


def latex_text(table: Table) -> str:
    """Write as a LaTeX tabular for the booktabs package."""
    align = "".join("r" if is_numeric(table, i) else "l" for i in range(len(table.columns)))
    head = " & ".join(_latex(column.title) for column in table.columns)
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in shown_rows(table)]
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
    numeric = [is_numeric(table, i) for i in range(len(table.columns))]
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
        for row in shown_rows(table)
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


def shown_rows(table: Table) -> list[list[str]]:
    """Write every cell as a reader sees it."""
    return [
        [show_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]


def is_numeric(table: Table, index: int) -> bool:
    """Say whether a column holds numbers alone."""
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
