"""One self-contained HTML page, and the same as Markdown: sections of text, tables and pictures.

No script, no network: styles and pictures are inside the file.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stvit_video.files import write_file
from stvit_video.report.tables import Table, html_text, html_words, markdown_text, markdown_words


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture and what it shows."""

    name: str
    """File name without folder, as in `clusters.png`."""
    content: bytes
    """PNG, SVG or GIF file as it is on disk."""
    caption: str
    alt: str = ""
    """Its text for who cannot see it, with its values; by default the caption."""
    numbers: Table | None = None
    """What it draws, shown by a click."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and what stands below it, in this order."""

    title: str
    text: str = ""
    """Paragraphs, parted by empty lines; shown as written."""
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


def html_page(title: str, sections: Sequence[Section]) -> str:
    """Write the whole page as one HTML text."""
    body = "\n".join(_html_section(section) for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html_words(title)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body>\n<h1>{html_words(title)}</h1>\n{body}\n</body></html>\n"
    )


def markdown_page(title: str, sections: Sequence[Section], *, is_markdown: bool = False) -> str:
    """Write the page as Markdown; pictures are files beside it, by their names.

    Words are shown as they are, unless they are Markdown already.
    """
    write = str if is_markdown else markdown_words
    parts = [f"# {write(title)}\n"]
    for section in sections:
        parts.append(f"## {write(section.title)}\n")
        if section.text:
            parts.append("\n".join(map(write, section.text.strip().split("\n"))) + "\n")
        for table in section.tables:
            text = markdown_text(table, is_markdown=is_markdown)
            parts.append(f"**{write(table.title)}**\n\n{text}")
        for picture in section.pictures:
            parts.append(_markdown_picture(picture, is_markdown=is_markdown))
    return "\n".join(parts)


def write_page(folder: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write `report.html`, `report.md` and its pictures into `folder`; return the HTML file."""
    folder = Path(folder)
    for section in sections:
        for picture in section.pictures:
            write_file(folder / picture.name, picture.content)
    write_file(folder / "report.md", markdown_page(title, sections))
    write_file(folder / "report.html", html_page(title, sections))
    return folder / "report.html"


def _markdown_picture(picture: Picture, *, is_markdown: bool) -> str:
    write = str if is_markdown else markdown_words
    alt, caption = write(picture.alt or picture.caption), write(picture.caption)
    text = f"![{alt}]({picture.name})\n\n*{caption}*\n"
    if picture.numbers is None:
        return text
    table = markdown_text(picture.numbers, is_markdown=is_markdown)
    return f'{text}\n<details markdown="1"><summary>{_NUMBERS}</summary>\n\n{table}\n</details>\n'


def _html_section(section: Section) -> str:
    paragraphs = [p for p in section.text.strip().split("\n\n") if p]
    parts = [f"<section><h2>{html_words(section.title)}</h2>"]
    parts += [f"<p>{_html_lines(paragraph)}</p>" for paragraph in paragraphs]
    parts += [f'<div class="wide">{html_text(table)}</div>' for table in section.tables]
    parts += [_html_picture(picture) for picture in section.pictures]
    return "\n".join([*parts, "</section>"])


def _html_lines(paragraph: str) -> str:
    return "\n".join(map(html_words, paragraph.split("\n")))


def _html_picture(picture: Picture) -> str:
    kind = {".png": "image/png", ".svg": "image/svg+xml", ".gif": "image/gif"}
    data = base64.b64encode(picture.content).decode("ascii")
    caption = html_words(picture.caption)
    alt = html_words(picture.alt or picture.caption)
    numbers = ""
    if picture.numbers is not None:
        numbers = (
            f"\n<details><summary>{_NUMBERS}</summary>"
            f'<div class="wide">{html_text(picture.numbers)}</div></details>'
        )
    return (
        f'<figure><img src="data:{kind[Path(picture.name).suffix]};base64,{data}" alt="{alt}">'
        f"<figcaption>{caption}</figcaption>{numbers}</figure>"
    )


_NUMBERS = "The numbers of this figure"


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load: no script, whatever a name says, and nothing from elsewhere."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
p { white-space: pre-line; max-width: 48rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0 .3rem; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem;
  border-bottom: 1px solid #8884; }
th { border-bottom: 2px solid #8888; } .number { text-align: right; }
td.number { font-variant-numeric: tabular-nums; }
th { overflow-wrap: normal; } td { white-space: nowrap; }
details { margin: .5rem 0; font-size: .9rem; } summary { cursor: pointer; }
@media (max-width: 40rem) { body { margin: 1rem auto; } th, td { padding: .3rem .4rem; }
  td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
  table { font-size: .8rem; } h1, h2, p, summary { overflow-wrap: anywhere; } }
@media (prefers-color-scheme: dark) { body { background: #121212; color: #e8e8e8; } }
.note, figcaption { font-size: .85rem; opacity: .75; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
"""
