"""A page of docs/results that holds one table."""

from pathlib import Path

from stvit_video.files import write_file
from stvit_video.report.tables import Table, markdown_text


def write_page(path: Path, title: str, table: Table, *, tool: str) -> None:
    """Write the table; `tool` is the file that made it."""
    head = f"# {title}\n\nWritten by `tools/{Path(tool).name}`; do not edit.\n\n"
    write_file(path, head + markdown_text(table))
