"""Hooks of mkdocs: files that are pages though they lie elsewhere, and links as GitHub has them.

A page of `docs/` is written for GitHub. In the site, a link to a file that is no page leads to the
repository, README and the cards of data sets are pages, notebooks are turned into some, and the
reference is made of the table of public names.
"""

import json
import logging
import posixpath
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/stvit-video/stvit-video"
GUESTS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "data/README.md": "data/index.md",
}
"""File of the repository -> page."""
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
_NAMES = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \|", re.MULTILINE)
_LOG = logging.getLogger("mkdocs.hooks.site")


def page_sources() -> dict[str, str]:
    """List the files of the repository that are pages of the site, with their pages."""
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    sources = {
        path.relative_to(ROOT).as_posix(): (
            path.relative_to(ROOT / "docs").with_suffix(".md").as_posix()
        )
        for path in pages
    }
    cards = {f"data/cards/{path.name}" for path in (ROOT / "data" / "cards").glob("*.md")}
    return sources | GUESTS | {card: card for card in cards}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that a pattern of the navigation names in its place."""
    config.nav = _expand(config.nav, sorted(page_sources().values()))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no Markdown files of `docs/`."""
    for source, page in page_sources().items():
        path = ROOT / source
        if path.suffix == ".ipynb":
            files.append(File.generated(config, page, content=notebook_text(path)))
        elif not source.startswith("docs/"):
            files.append(File.generated(config, page, content=path.read_text(encoding="utf-8")))
    files.append(File.generated(config, "reference.md", content=reference_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links of the site."""
    own = page.file.src_uri
    pages = page_sources()
    source = next((source for source, uri in pages.items() if uri == own), None)
    if source is None:
        return markdown

    def turn(found: re.Match[str]) -> str:
        return link_target(found[1], source, pages) + (found[2] or "")

    text = _LINK.sub(turn, markdown)
    if own == "python.md":
        text = _NAMES.sub(lambda found: f"| {_cross_references(found[1])} |", text)
    return text


def link_target(target: str, source: str, pages: dict[str, str]) -> str:
    """Say where a link in the file `source` leads in the site; what is no file stays as it is."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if ":" in target or path.startswith("..") or not (ROOT / path).exists():
        return target
    own_folder = posixpath.dirname(pages[source])
    if path in pages:
        return posixpath.relpath(pages[path], own_folder or ".")
    if path.startswith("docs/"):
        return posixpath.relpath(path.removeprefix("docs/"), own_folder or ".")
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{REPOSITORY}/{kind}/main/{path}"


def reference_text() -> str:
    """Write the page of all public names, in the order of the table of `docs/python.md`."""
    table = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names = re.findall(r"`(\w+)`", " ".join(_NAMES.findall(table.split("## All public names")[1])))
    lines = [
        "# Reference",
        "What each public name takes, gives back and raises; [From a script](python.md) shows them"
        " at work.",
        *(f"::: stvit_video.{name}" for name in names),
    ]
    return "\n\n".join(lines) + "\n"


def notebook_text(path: Path) -> str:
    """Write a notebook as Markdown: its words, its code and what that printed and showed."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return "\n\n".join(part for cell in notebook["cells"] for part in _cell_parts(cell)) + "\n"


def _cell_parts(cell: dict[str, Any]) -> Iterator[str]:
    words = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield words
        return
    yield f"```python\n{words}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        picture = next((kind for kind in ("image/jpeg", "image/png") if kind in data), None)
        if output["output_type"] == "stream":
            yield f"```text\n{''.join(output['text']).rstrip()}\n```"
        elif "text/html" in data:
            yield f'<div class="output">{"".join(data["text/html"])}</div>'
        elif picture is not None:
            yield f'<p><img alt="Figure" src="data:{picture};base64,{data[picture].strip()}"></p>'
        elif "text/plain" in data:
            yield f"```text\n{''.join(data['text/plain'])}\n```"


def _cross_references(names: str) -> str:
    return re.sub(r"`(\w+)`", r"[`\1`][stvit_video.\1]", names)


def _expand(entry: Any, pages: list[str]) -> Any:
    """Replace patterns in a navigation by the pages that they name."""
    if isinstance(entry, dict):
        return {title: _expand(part, pages) for title, part in entry.items()}
    if not isinstance(entry, list):
        return entry
    found: list[Any] = []
    for part in entry:
        if isinstance(part, str) and "*" in part:
            named = [page for page in pages if fnmatch(page, part)]
            if not named:
                _LOG.warning("no page is named %s", part)
            found += named
        else:
            found.append(_expand(part, pages))
    return found
