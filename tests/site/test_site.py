"""The documentation as a site: it builds without a warning, and needs no network to be read."""

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

import stvit_video
from tools.site_hooks import REPOSITORY

ROOT = Path(__file__).parents[2]
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""Elements that a browser loads something for, and where they say what."""


class Loads(HTMLParser):
    """Collects what a page loads, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.add(values["id"])
        if values.get("rel") not in ("next", "prev", "canonical"):
            self.loads.append(values.get(LOADS.get(tag, "")) or "")
        if tag == "a":
            self.links.append(values.get("href") or "")


def build(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder), *words],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, and each of its pages."""
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    told = [line for line in built.stderr.splitlines() if "WARNING" in line]
    assert (built.returncode, told) == (0, []), built.stderr
    return folder, {path: Loads(path.read_text()) for path in folder.rglob("*.html")}


def test_every_page_is_there(site):
    folder, pages = site
    names = {path.relative_to(folder).as_posix() for path in pages}
    markdown = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.with_suffix(".html").as_posix() for path in markdown} <= names
    assert {"index.html", "data/index.html", "data/cards/kinetics400.html"} <= names
    assert {"notebooks/classify_and_look.html", "notebooks/make_it_fast.html"} <= names


def test_nothing_is_loaded_from_a_network(site):
    folder, pages = site
    loads = {what for page in pages.values() for what in page.loads if what}
    assert len(loads) > 20
    assert [what for what in loads if re.match(r"(\w+:)?//", what)] == []
    for style in folder.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import\s*)[\"']?((?:https?:)?//[^\"')]+)", style.read_text())
        assert found == [], style
    text = "".join(path.read_text() for path in pages)
    assert 'class="mermaid"' not in text  # the theme would fetch a library
    assert "md-source" not in text  # the theme would ask GitHub for stars


def test_the_reference_has_every_public_name(site):
    folder, pages = site
    reference, tour = (pages[folder / f"{name}.html"] for name in ("reference", "python"))
    names = {f"stvit_video.{name}" for name in stvit_video.__all__}
    assert names <= reference.ids
    assert "stvit_video.Predictor.predict_many" in reference.ids
    assert {f"reference.html#{name}" for name in names} <= set(tour.links)


def test_links_to_the_repository_lead_to_files(site):
    _, pages = site
    own = re.compile(re.escape(REPOSITORY) + r"/(?:blob|tree)/main/([^#]+)")
    links = {link for page in pages.values() for link in page.links}
    paths = {found[1] for link in links if (found := own.match(link))}
    assert {"examples/classify_onnx.py", "tests/measure/test_golden_macs.py"} <= paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Homepage"] == REPOSITORY


def test_the_first_page_is_the_readme(site):
    folder, pages = site
    first = pages[folder / "index.html"]
    assert {"images/demo_clusters.png", "images/timeline.png"} <= set(first.loads)
    assert {"training.html", "data/index.html", "changelog.html"} <= set(first.links)


def test_a_notebook_is_a_page_with_what_its_cells_showed(site):
    folder, _ = site
    text = (folder / "notebooks" / "classify_and_look.html").read_text()
    assert text.count('<div class="output"><pre>') == 3  # the bars
    assert text.count('<div class="output"><div style="display: flex') == 3  # the results
    assert '<img alt="Figure" src="data:image/png;base64,' in text


def test_a_browser_reads_and_searches_it_from_the_disk(site, browser):
    folder, _ = site
    browser.open((folder / "index.html").as_uri())
    browser.run(
        "const field = document.querySelector('[data-md-component=search-query]');"
        "document.querySelector('[data-md-toggle=search]').click(); field.focus();"
        "field.value = 'attentive probe'; field.dispatchEvent(new Event('keyup'))"
    )
    browser.wait("document.querySelectorAll('.md-search-result__item').length > 2")
    assert "training.html" in browser.run(
        "[...document.querySelectorAll('.md-search-result__link')].map(a => a.href).join(' ')"
    )
    assert browser.faults() == []
    assert [url for url in browser.requests() if not url.startswith("file://")] == []


def test_a_link_to_nothing_and_a_page_without_a_place_fail_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "data.md").write_text("# Data\n")
    broken = "[a](gone.md) [b](data.md#gone) [c](../gone.py) ![d](gone.png)\n"
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n{broken}")
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\nnav: [index.md]\nhooks: []\nplugins: [offline]\n"
    )
    built = build(tmp_path / "site", "--config-file", str(config))
    assert built.returncode == 1
    for words in (
        'exist in the docs directory, but are not included in the "nav"',
        "contains a link 'gone.md'",
        "does not contain an anchor '#gone'",
        "contains a link '../gone.py'",
        "contains a link 'gone.png'",
    ):
        assert words in built.stderr
