"""A page of docs/results that holds one table, and what its note says of the conditions."""

import argparse
import datetime
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from stvit_video.files import write_file
from stvit_video.report.tables import Table, markdown_text

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def page_parser(about: str | None, tool: str) -> argparse.ArgumentParser:
    """Make the parser of a tool, of docstring `about`, that writes a page of what `tool` gave."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("results", type=Path, help=f"file of tools/{tool}")
    parser.add_argument("page", type=Path, help="Markdown file to write; plots go beside it")
    return parser


def write_page(path: Path, title: str, table: Table, *, tool: str) -> None:
    """Write the table; `tool` is the file that made it."""
    head = f"# {title}\n\nWritten by `tools/{Path(tool).name}`; do not edit.\n\n"
    write_file(path, head + markdown_text(table, is_markdown=True))


def date_and_machine() -> str:
    """Today, the GPU or the kind of processor, and the number of cores."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{today}, {device}, {os.cpu_count()} cores"


def versions(*packages: str) -> str:
    """Name the installed versions."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


def spread_percent(figures: Sequence[float]) -> float:
    """Half of the range, in % of the median."""
    return 50 * (max(figures) - min(figures)) / statistics.median(figures)
